package audit

import "testing"

func TestOursALateRepeatIsARepeat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		came []int64
		want bool
	}{
		{"in order", []int64{1, 2, 3}, true},
		{"a late repeat", []int64{1, 2, 3, 1}, true},
		{"lost and published again", []int64{1, 3, 2, 3}, true},
		{"lost, published again, and a late repeat", []int64{1, 3, 2, 3, 1}, true},
		{"a late repeat before the lost ones come again", []int64{1, 3, 1, 2, 3}, true},
		{"overtaken", []int64{1, 3, 2}, false},
		{"overtaken, and a repeat that does not mend it", []int64{1, 3, 2, 2, 1}, false},
		{"the end comes first", []int64{3, 1, 2}, false},
		{"nothing", nil, true},
	} {
		if got := inOrder(test.came); got != test.want {
			t.Errorf("%s: %v is in order: %v, want %v", test.name, test.came, got, test.want)
		}
	}
}
