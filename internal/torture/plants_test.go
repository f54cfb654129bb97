package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
	"gocloud.dev/blob"

	"graft"
	"graft/internal/faultbucket"
	"graft/volume"
)

// The checks of this package see what they are for.

// chain gives the states after transactions 1, 2, … and the empty one before.
func chain(n int) []state {
	states := make([]state, n+1)
	for i := range n {
		states[i+1] = states[i].next(opID(i + 1))
	}
	return states
}

func TestHistoriesThatAreWrongAreSeen(t *testing.T) {
	s := chain(3)
	other := s[1].next(9)
	operation := func(before, after state, id opID, call, ret int64) porcupine.Operation {
		return porcupine.Operation{Input: visit{before: before, after: after, id: id}, Call: call, Return: ret}
	}
	for name, test := range map[string]struct {
		right   bool
		history []porcupine.Operation
	}{
		"one after the other": {true, []porcupine.Operation{operation(s[0], s[1], 1, 1, 2), operation(s[1], s[1], 0, 3, 4), operation(s[1], s[2], 2, 5, 6)}},
		"side by side":        {true, []porcupine.Operation{operation(s[1], s[2], 2, 1, 9), operation(s[0], s[1], 1, 2, 8), operation(s[1], s[1], 0, 3, 7)}},
		"lost update":         {false, []porcupine.Operation{operation(s[0], s[1], 1, 1, 2), operation(s[1], s[2], 2, 3, 4), operation(s[1], other, 9, 5, 6)}},
		"lost update, racing": {false, []porcupine.Operation{operation(s[0], s[1], 1, 1, 2), operation(s[1], s[2], 2, 3, 6), operation(s[1], other, 9, 4, 6)}},
		"stale read":          {false, []porcupine.Operation{operation(s[0], s[1], 1, 1, 2), operation(s[0], s[0], 0, 3, 4)}},
		"read of a failure":   {false, []porcupine.Operation{operation(s[0], s[1], 1, 1, 2), operation(s[2], s[2], 0, 3, 4)}},
		"done twice":          {false, []porcupine.Operation{operation(s[0], s[1], 1, 1, 2), operation(s[0], s[1], 1, 1, 2)}},
	} {
		if err := checkHistory(test.history); (err == nil) != test.right {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatesAndOutcomesThatAreWrongAreSeen(t *testing.T) {
	s := chain(3)
	for name, err := range map[string]error{
		"one push at two LSNs": checkStates(map[graft.LSN]state{4: s[2], 5: s[2]}),
		"a step back":          checkStates(map[graft.LSN]state{4: s[2], 6: s[3]}),
		"lost":                 checkOutcomes([]opID{1, 3}, map[opID]bool{1: true, 2: true}, nil),
		"landed after all":     checkOutcomes([]opID{1, 2}, nil, map[opID]bool{2: true}),
		"twice":                checkOutcomes([]opID{1, 2, 1}, nil, nil),
	} {
		if err == nil {
			t.Errorf("%s is not seen", name)
		}
	}
	if err := checkStates(map[graft.LSN]state{1: s[1], 2: s[3]}); err != nil {
		t.Error(err)
	}
	if err := checkOutcomes([]opID{1, 2}, map[opID]bool{1: true}, map[opID]bool{3: true}); err != nil {
		t.Error(err)
	}
}

// plantedLog is a bucket with a log of three commits.
type plantedLog struct {
	t   *testing.T
	b   *faultbucket.Bucket
	net *faultbucket.Network
	v   graft.VolumeID
	out *blob.Bucket
}

func newPlantedLog(t *testing.T) *plantedLog {
	p := &plantedLog{t: t, b: faultbucket.New(), v: volume.NewVolumeID()}
	p.net = faultbucket.NewNetwork(p.b)
	p.out = p.net.Line("a", func(faultbucket.Request) faultbucket.Fate { return faultbucket.Answered })
	t.Cleanup(func() { p.out.Close() })
	parent := volume.Hash{}
	for l := graft.LSN(1); l <= 3; l++ {
		parent = p.put(l, l, parent)
	}
	return p
}

// put puts commit says at LSN l, and gives its hash.
func (p *plantedLog) put(l, says graft.LSN, parent volume.Hash) volume.Hash {
	rec, err := volume.EncodeCommit(volume.Commit{Volume: p.v, LSN: says, PageCount: 1, PushID: volume.NewPushID(), Parent: parent})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.out.WriteAll(background, volume.CommitKey(p.v, l), rec.Bytes, nil); err != nil {
		p.t.Fatal(err)
	}
	return rec.Hash()
}

func (p *plantedLog) object(l graft.LSN) []byte { return p.b.Object(volume.CommitKey(p.v, l)) }

func (p *plantedLog) ack(machine string, l graft.LSN) ack { return ack{machine, l, p.object(l)} }

func TestLogsThatAreWrongAreSeen(t *testing.T) {
	for text, plant := range map[string]func(p *plantedLog) []ack{
		"": func(p *plantedLog) []ack { return []ack{p.ack("a", 1), p.ack("a", 3)} },
		"4 puts of commits landed on 3 keys": func(p *plantedLog) []ack {
			p.put(3, 3, volume.HashOf(p.object(2)))
			return nil
		},
		"LSN 4: key": func(p *plantedLog) []ack {
			p.put(5, 5, volume.HashOf(p.object(3)))
			return nil
		},
		"LSN 4 says volume": func(p *plantedLog) []ack {
			p.put(4, 4, volume.HashOf(p.object(2)))
			return nil
		},
		"says volume " /* another LSN */ : func(p *plantedLog) []ack {
			p.put(4, 5, volume.HashOf(p.object(3)))
			return nil
		},
		"commits were deleted": func(p *plantedLog) []ack {
			if err := p.out.Delete(background, volume.CommitKey(p.v, 3)); err != nil {
				p.t.Fatal(err)
			}
			return nil
		},
		"LSN 2 is not what was put": func(p *plantedLog) []ack {
			p.b.SetObject(volume.CommitKey(p.v, 2), p.object(3))
			return nil
		},
		"both told of LSN 2":        func(p *plantedLog) []ack { return []ack{p.ack("a", 2), p.ack("a", 2)} },
		"told of LSN 2, which a":    func(p *plantedLog) []ack { return []ack{p.ack("b", 2)} },
		"told of LSN 4 of 3":        func(p *plantedLog) []ack { return []ack{p.ack("a", 4)} },
		"LSN 2 is not what it was":  func(p *plantedLog) []ack { return []ack{{"a", 2, p.object(1)}} },
		"LSN 2 is not what it was ": func(p *plantedLog) []ack { return []ack{{"a", 2, nil}} },
	} {
		p := newPlantedLog(t)
		head, err := audit(p.b, p.net, p.v, plant(p))
		if text == "" {
			if head != 3 || err != nil {
				t.Errorf("head %d, %v", head, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// staleCut is pages whose cut is forgotten.
type staleCut struct{ *model }

func (s staleCut) SetPageCount(n graft.PageCount) error { s.count = n; return nil }

func TestContentThatIsWrongIsSeen(t *testing.T) {
	right, stale := newModel(), staleCut{newModel()}
	for id := range opID(40) {
		for _, e := range []editor{right, stale} {
			if _, _, err := transact(background, e, id+1); err != nil {
				t.Fatal(err)
			}
		}
	}
	ids, err := compare(background, right)
	if err != nil || len(ids) != 40 {
		t.Fatalf("%d transactions, %v", len(ids), err)
	}
	if _, err := compare(background, stale); err == nil || !strings.Contains(err.Error(), "begins with") {
		t.Errorf("pages that come back: %v", err)
	}
	for name, damage := range map[string]func(m *model){
		"page 1 is older":  func(m *model) { m.pages[1] = new(graft.Page) },
		"a page of others": func(m *model) { m.pages[listPage+1] = filled(7, listPage+1) },
		"a page too many":  func(m *model) { m.count++ },
		"another list":     func(m *model) { m.pages[listPage] = filled(7, listPage) },
	} {
		m := newModel()
		for id := range opID(40) {
			if _, _, err := transact(background, m, id+1); err != nil {
				t.Fatal(err)
			}
		}
		damage(m)
		if _, err := compare(background, m); !errors.Is(err, errContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if samePages([]byte{1}, []byte{2}) || samePages(nil, nil) {
		t.Error("other pages, or none, count as the same")
	}
}

// A power cut takes what is not durable, and only that; a kill takes nothing.
func TestImages(t *testing.T) {
	w := newWorld(t)
	for seed := range uint64(20) {
		m := w.newMachine(int(seed), pageWork{})
		for n := range 6 {
			_, err := m.g.Update(background, func(wr *graft.Writer) error {
				wr.SetRelaxed(n >= 3)
				page := new(graft.Page)
				copy(page[:], fmt.Sprint(n))
				return wr.Write(1, page)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		killed, err := takeImage(m.dir)
		for err == nil && killed["badger.new"] != nil { // Badger is made in the background
			killed, err = takeImage(m.dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		cut, err := takeImage(m.dir)
		if err != nil || !cut.equal(killed) {
			t.Fatal("two images of one moment differ", err)
		}
		m.probe()
		durable, err := durableNow(m.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		lost := cut.cut(rand.New(rand.NewPCG(seed, 0)), durable)
		if lost < 1 || lost > 3 {
			t.Fatalf("%d records are lost, of 3 that are not durable", lost)
		}
		for img, want := range map[*image]int{&killed: 6, &cut: 6 - lost} {
			m.dir = filepath.Join(w.base, fmt.Sprintf("image%d.%d.%v", seed, want, img == &cut))
			if err := img.write(m.dir); err != nil {
				t.Fatal(err)
			}
			db, err := graft.Open(background, m.dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			g, err := db.Graft(background, tag(0))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := g.Info(); err != nil || info.LocalHead != graft.LSN(want) {
				t.Errorf("head %d, want %d, %v", info.LocalHead, want, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
