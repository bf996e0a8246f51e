package faulty_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestATrapSeesWhatIsSplit(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, echo))
	a := p.Arm(faulty.Trap{Match: faulty.InOrder("now", "or", "never")})
	c, other := dial(t, p.Addr()), dial(t, p.Addr())
	for _, part := range []string{"it is n", "o", "w, ", "o", "r it is nev"} {
		c.say(part)
		c.hear(part)
	}
	other.say("er\n") // of no other connection
	other.hear("er\n")
	if fired(a) {
		t.Fatal("the trap sprang too early")
	}
	b := p.Arm(faulty.Trap{Match: faulty.InOrder("never")})
	c.say("er\n")
	c.hear("er\n")
	<-a.Fired()
	if fired(b) {
		t.Error("a trap saw what passed before it was set")
	}
}

func TestATrapForwardsHoldsOrDrops(t *testing.T) {
	t.Parallel()
	for name, trap := range map[string]faulty.Trap{
		"forward": {}, "hold": {Hold: true}, "drop": {Drop: true},
		"forward back": {Direction: faulty.FromServer}, "drop the reply": {Reply: faulty.Anything(), Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proxy(t, server(t, echo))
			acting, act := make(chan struct{}), make(chan struct{})
			trap.Match = faulty.InOrder("trap\n")
			trap.Action = func() {
				close(acting)
				<-act
			}
			a := p.Arm(trap)
			c := dial(t, p.Addr())
			c.say("trap\n")
			<-acting
			if fired(a) {
				t.Error("fired before its action was done")
			}
			if !trap.Hold && !trap.Drop {
				c.hear("trap\n")
			}
			close(act)
			<-a.Fired()
			switch {
			case trap.Drop:
				if line, err := c.lines.ReadString('\n'); err == nil {
					t.Errorf("heard %q, which was dropped", line)
				}
			case trap.Hold:
				c.hear("trap\n")
				fallthrough
			default:
				c.say("trap\n") // it springs once
				c.hear("trap\n")
			}
		})
	}
}

func TestATrapSkipsAndDisarms(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, echo))
	third := p.Arm(faulty.Trap{Match: faulty.InOrder("word"), Skip: 2})
	never := p.Arm(faulty.Trap{Match: faulty.InOrder("word"), Drop: true})
	never.Disarm()
	c := dial(t, p.Addr())
	c.say("word word\n")
	c.hear("word word\n")
	if fired(third) {
		t.Fatal("sprang at the second of three")
	}
	c.say("word\n")
	c.hear("word\n")
	<-third.Fired()
	if fired(never) {
		t.Error("a trap that was taken away sprang")
	}
}

func TestAnActionMayCutEverything(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, echo))
	a := p.Arm(faulty.Trap{Match: faulty.InOrder("die"), Action: func() { p.Refuse(true) }})
	c, other := dial(t, p.Addr()), dial(t, p.Addr())
	other.say("there\n")
	other.hear("there\n")
	c.say("die\n")
	<-a.Fired()
	for _, dead := range []*client{c, other} {
		_ = dead.broken() // ends
	}
	servers.Eventually(t, "nothing is open", func() bool { return p.Open() == 0 })
}
