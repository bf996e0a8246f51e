package protocol_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

func TestSignature(t *testing.T) {
	t.Parallel()
	body, now := []byte(`{"event_id":"evt_1"}`), time.Unix(1_800_000_000, 0)
	header := protocol.Sign(body, now, "old", "new")
	fits := protocol.Sign(body, now, "new")
	for name, c := range map[string]struct {
		header  string
		body    string
		secrets []string
		now     time.Time
		want    error
	}{
		"right":                 {header, string(body), []string{"new"}, now, nil},
		"the old secret":        {header, string(body), []string{"old"}, now, nil},
		"the receiver has both": {fits, string(body), []string{"old", "new"}, now, nil},
		"as old as may be":      {header, string(body), []string{"new"}, now.Add(time.Minute), nil},
		"with spaces and more":  {strings.ReplaceAll(header, ",", " , ") + ",v2=later", string(body), []string{"new"}, now, nil},

		"another body":         {header, string(body) + " ", []string{"new"}, now, protocol.ErrSignatureWrong},
		"another secret":       {header, string(body), []string{"else"}, now, protocol.ErrSignatureWrong},
		"no secret":            {header, string(body), nil, now, protocol.ErrSignatureWrong},
		"the empty secret":     {protocol.Sign(body, now, ""), string(body), []string{""}, now, protocol.ErrSignatureWrong},
		"another time":         {strings.Replace(header, "t=18", "t=19", 1), string(body), []string{"new"}, now, protocol.ErrSignatureWrong},
		"too old":              {header, string(body), []string{"new"}, now.Add(61 * time.Second), protocol.ErrSignatureTooOld},
		"from the future":      {header, string(body), []string{"new"}, now.Add(-61 * time.Second), protocol.ErrSignatureTooOld},
		"nothing":              {"", string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"no time":              {header[strings.Index(header, "v1="):], string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"two times":            {"t=1," + header, string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"a time under zero":    {"t=-1" + header[strings.IndexByte(header, ','):], string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"no signature":         {"t=1800000000", string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"half a signature":     {header[:len(header)-2], string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"not hexadecimal":      {"t=1800000000,v1=" + strings.Repeat("g", 64), string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"a name without value": {"t=1800000000,v1", string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
		"more than the bound": {
			"t=1800000000" + strings.Repeat(",v1="+strings.Repeat("0", 64), 17), string(body), []string{"new"}, now, protocol.ErrSignatureMalformed,
		},
		"a long header": {header + strings.Repeat(",x=y", 600), string(body), []string{"new"}, now, protocol.ErrSignatureMalformed},
	} {
		if err := protocol.Verify(c.header, []byte(c.body), c.secrets, c.now, time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// FuzzVerify holds that only a signed body passes, and that no header breaks the parser.
func FuzzVerify(f *testing.F) {
	body, now := []byte(`{"event_id":"evt_1"}`), time.Unix(1_800_000_000, 0)
	right := protocol.Sign(body, now, "secret")
	f.Add(right, body)
	f.Add("t=1,v1=,v1=00,=,", []byte{})
	f.Add("t=99999999999999999999", []byte("x"))
	f.Fuzz(func(t *testing.T, header string, got []byte) {
		err := protocol.Verify(header, got, []string{"secret"}, now, time.Hour)
		if err == nil && (string(got) != string(body) || !strings.Contains(strings.ToLower(header), right[strings.Index(right, "v1=")+3:])) {
			t.Fatalf("header %q passes for body %q", header, got)
		}
	})
}

func TestEventsOutliveTheirFields(t *testing.T) {
	t.Parallel()
	e, err := protocol.DecodeEvent([]byte(`{"event_id":"evt_1","type":"operation.celebrated","confetti":true}`))
	if err != nil || e.ID != "evt_1" || e.Type != "operation.celebrated" {
		t.Fatalf("%+v, %v", e, err)
	}
	if _, err := protocol.DecodeEvent([]byte(`{"event_id":`)); err == nil {
		t.Fatal("half an event is taken")
	}
}
