package syncmodel

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	deep    = flag.Bool("deep", false, "explore the deep scopes too, for minutes")
	rewrite = flag.Bool("rewrite", false, "write the traces of testdata anew")
)

// TestDesignHolds explores the design with all rules.
func TestDesignHolds(t *testing.T) {
	taken, said := make(map[int]bool), make(map[told]bool)
	for _, s := range scopes {
		e, b := explore(New(s.limit, Mutations{}, AllRules()), s)
		if b != nil {
			t.Errorf("%s: %v", s.name, b)
		}
		if len(e.nodes) < 500 {
			t.Errorf("%s has only %d states", s.name, len(e.nodes))
		}
		t.Logf("%s: %d states", s.name, len(e.nodes))
		for kind := range e.taken {
			taken[kind] = true
		}
		for err := range e.told {
			said[err] = true
		}
	}
	for kind := range actions {
		if !taken[kind] {
			t.Errorf("%q never happened", actions[kind].name)
		}
	}
	if len(said) != 4 {
		t.Errorf("only the errors %v were given", said)
	}
}

// TestMutationsAreFound plants each mistake.
func TestMutationsAreFound(t *testing.T) {
	tests := []struct {
		name, scope string
		want        Invariant
	}{
		{"BlindRetry", "outcomes", NoAlarm},
		{"AdoptUnread", "outcomes", Acked},
		{"PushVolatile", "power", PowerCut},
		{"ForgetRefused", "retries", NoAlarm},
		{"TrustReopened", "retries", NoAlarm},
		{"PullOutsideMutex", "writers", OnNewest},
		{"LayerWalk", "content", Fold},
		{"RollupIgnoresKept", "content", Fold},
		{"DeltaIgnoresKept", "content", Fold},
		{"DeleteEarly", "retries", Fetchable},
		{"FetchOwn", "retries", NoAlarm},
		{"NoReread", "outsider", NoGap},
		{"CheckpointLate", "jumps", Fetchable},
		{"NoFloor", "sweeps", Fetchable},
		{"NoPins", "forks", Fetchable},
		{"EqualCounter", "jumps", Counter},
		{"AdoptMoves", "retries", AdoptsQuiet},
		{"UnconditionalPut", "outcomes", OneContent},
		{"ResetForgets", "resets", ResetHolds},
	}
	if n := reflect.TypeFor[Mutations]().NumField(); n != len(tests) {
		t.Errorf("%d mutations, %d tests", n, len(tests))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mut Mutations
			reflect.ValueOf(&mut).Elem().FieldByName(tt.name).SetBool(true)
			s := scopeNamed(t, tt.scope)
			_, b := explore(New(s.limit, mut, AllRules()), s)
			if b == nil || b.violation.Invariant != tt.want {
				t.Fatalf("want a violation of %q, got %v", tt.want, b)
			}
			t.Log(b)
		})
	}
}

// TestRulesAreNeeded shows the hole that each rule closes: testdata has the
// shortest traces.
func TestRulesAreNeeded(t *testing.T) {
	tests := []struct {
		name, scope string
		want        Invariant
	}{
		{"SweepTaken", "sweeps", Fetchable},
		{"StubVerifies", "sweeps", NoAlarm},
		{"StubOurs", "sweeps", NoAlarm},
		{"PinnedStay", "forks", Fetchable},
		{"VerifyEachPush", "outsider", NoGap},
		{"VerifyMove", "outsider", ToldOrRight},
		{"FloorStands", "ruins", Fetchable},
	}
	if n := reflect.TypeFor[Rules]().NumField(); n != len(tests) {
		t.Errorf("%d rules, %d tests", n, len(tests))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules := AllRules()
			reflect.ValueOf(&rules).Elem().FieldByName(tt.name).SetBool(false)
			s := scopeNamed(t, tt.scope)
			_, b := explore(New(s.limit, Mutations{}, rules), s)
			if b == nil || b.violation.Invariant != tt.want {
				t.Fatalf("want a violation of %q, got %v", tt.want, b)
			}
			path := filepath.Join("testdata", "without"+tt.name+".txt")
			if *rewrite {
				if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || strings.ReplaceAll(string(want), "\r\n", "\n") != b.String() {
				t.Errorf("%s: %v; the trace is\n%v", path, err, b)
			}
		})
	}
}

func scopeNamed(t *testing.T, name string) scope {
	t.Helper()
	for _, s := range scopes {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no scope %s", name)
	return scope{}
}

// TestDeepScopes goes further than TestExplore; go test -deep.
func TestDeepScopes(t *testing.T) {
	if !*deep {
		t.Skip("without -deep")
	}
	for _, s := range deepScopes {
		e, b := explore(New(s.limit, Mutations{}, AllRules()), s)
		if b != nil {
			t.Fatalf("%s: %v", s.name, b)
		}
		t.Logf("%s: %d states hold", s.name, len(e.nodes))
	}
}

// walks has all kinds of trouble at once, too many for exploring.
var walks = scope{"walks", 2, maxLSN, Budget{
	Commits: 14, Relaxed: 4, Others: 6, Begins: 2, Unknown: 4, Refused: 3, Crashes: 2, Cuts: 2,
	Copies: 1, Backups: 1, Tampers: 1, Jumps: 2, Resets: 2, Forks: 1, GCs: 3,
}}

// TestRandomWalks takes random steps.
func TestRandomWalks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(walks.limit, Mutations{}, AllRules())
		if b := walk(t, m); b != nil {
			t.Fatal(b)
		}
	})
}

// TestRandomWalksFindMutations lets walks find what an exploration found.
func TestRandomWalksFindMutations(t *testing.T) {
	for name, mut := range map[string]Mutations{
		"AdoptUnread":      {AdoptUnread: true},
		"LayerWalk":        {LayerWalk: true},
		"EqualCounter":     {EqualCounter: true},
		"UnconditionalPut": {UnconditionalPut: true},
	} {
		var seen *broken
		m := New(walks.limit, mut, AllRules())
		for seed := 0; seen == nil && seed < 500; seed++ {
			seen = rapid.Custom(func(t *rapid.T) *broken { return walk(t, m) }).Example(seed)
		}
		if seen == nil {
			t.Errorf("%s was not found", name)
		}
	}
}

// walk takes up to 150 steps that rapid draws.
func walk(t *rapid.T, m *Model) *broken {
	state := m.Start(walks.grafts, walks.left)
	var done []Step
	for range 150 {
		steps := m.Steps(&state)
		if len(steps) == 0 {
			break
		}
		step := rapid.SampledFrom(steps).Draw(t, "step")
		if done = append(done, step); step.Broken != nil {
			return &broken{step.Broken, done}
		}
		state = step.State
	}
	return nil
}

func TestTraceIsReadable(t *testing.T) {
	m := New(3, Mutations{LayerWalk: true}, AllRules())
	_, b := explore(m, scope{grafts: 1, limit: 3, left: Budget{Commits: 2, Others: 2}})
	if b == nil || len(b.steps) != 2 || !strings.Contains(b.String(), "2. A commit (grow)") {
		t.Errorf("trace %v", b)
	}
}
