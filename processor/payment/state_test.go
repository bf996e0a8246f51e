package payment_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

func sameJSON(t *rapid.T, p *payment.Payment) {
	t.Helper()
	want, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.AppendJSON(nil); string(got) != string(want) {
		t.Fatalf("written by hand:\n%s\nby encoding/json:\n%s", got, want)
	}
}

// With any fields, and any values in them, the state is the JSON of the struct.
func TestStateIsTheJSONOfThePayment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p payment.Payment
		fill(t, reflect.ValueOf(&p).Elem())
		sameJSON(t, &p)
	})
}

// A field that only one of the two knows shows when it is the only one that is set.
func TestStateHasEveryField(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := payment.Payment{Operations: make([]payment.Operation, 1)}
		for _, v := range []reflect.Value{reflect.ValueOf(&p).Elem(), reflect.ValueOf(&p.Operations[0]).Elem()} {
			field := v.Field(rapid.IntRange(0, v.NumField()-1).Draw(t, "field"))
			if field.Kind() != reflect.Slice {
				fill(t, field)
			}
		}
		sameJSON(t, &p)
	})
}

// fill sets a value, and all that is in it, to something, or leaves it empty.
func fill(t *rapid.T, v reflect.Value) {
	if rapid.IntRange(0, 3).Draw(t, "empty") == 0 {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		seconds := rapid.Int64Range(0, 4_000_000_000).Draw(t, "seconds")
		v.Set(reflect.ValueOf(time.Unix(seconds, rapid.Int64Range(0, 999_999).Draw(t, "micros")*1000).UTC()))
		return
	case uuid.UUID, messages.Hash:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(rapid.Byte().Draw(t, "byte")))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.StringMatching(`[a-z_0-9]{1,12}`), rapid.String()).Draw(t, "string"))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(rapid.Int32().Draw(t, "int")))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"order": "A-1", "<b>": "&"}))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 3).Draw(t, "length"), 3))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("a field of kind %s is not filled", v.Kind())
	}
}
