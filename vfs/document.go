package vfs

import (
	"bytes"
	"encoding/json"
	"time"

	"graft"
	"graft/internal/sqlitefile"
	"graft/volume"
)

// The JSON documents of the pragmas, for programs. The names of their fields stay
// what they are. docs/pragmas.md says what they mean.

type standing struct {
	Status   string    `json:"status"` // short form
	Pushed   graft.LSN `json:"pushed"`
	Unpushed uint64    `json:"unpushed"`
	Synced   graft.LSN `json:"synced"`
	Behind   uint64    `json:"behind"`
}

func newStanding(s graft.Status) standing {
	return standing{s.String(), s.Pushed, s.Unpushed, s.Synced, s.Behind}
}

type tagDoc struct {
	Tag     string `json:"tag"`
	Graft   string `json:"graft"`
	Remote  string `json:"remote"`
	Current bool   `json:"current"`
	standing
}

type tagsDoc struct {
	Tags []tagDoc `json:"tags"`
}

func newTagsDoc(tags []graft.TagInfo, current string) tagsDoc {
	doc := tagsDoc{Tags: []tagDoc{}}
	for _, t := range tags {
		doc.Tags = append(doc.Tags, tagDoc{t.Name, t.Graft.String(), t.Remote.String(), t.Name == current, newStanding(t.Status)})
	}
	return doc
}

type graftDoc struct {
	Graft   string   `json:"graft"`
	Remote  string   `json:"remote"`
	Tags    []string `json:"tags"`
	Current bool     `json:"current"`
	standing
	Error string `json:"error"` // why it cannot be opened, or empty
}

type listDoc struct {
	Grafts []graftDoc `json:"grafts"`
}

func newListDoc(grafts []graft.GraftInfo, current graft.VolumeID) listDoc {
	doc := listDoc{Grafts: []graftDoc{}}
	for _, g := range grafts {
		d := graftDoc{g.Graft.String(), g.Remote.String(), append([]string{}, g.Tags...), g.Graft == current, newStanding(g.Status), ""}
		if g.Err != nil {
			d.Error = g.Err.Error()
		}
		doc.Grafts = append(doc.Grafts, d)
	}
	return doc
}

type movedDoc struct {
	Tag    string   `json:"tag"`
	Graft  string   `json:"graft"`
	Remote string   `json:"remote"`
	Exists bool     `json:"exists"`
	Left   *leftDoc `json:"left"` // null: nothing
}

type leftDoc struct {
	Graft  string `json:"graft"`
	Remote string `json:"remote"`
	standing
}

func newMovedDoc(info graft.Info, left *graft.Info) movedDoc {
	doc := movedDoc{info.Tag, info.Graft.String(), info.Remote.String(), info.Exists, nil}
	if left != nil {
		doc.Left = &leftDoc{left.Graft.String(), left.Remote.String(), newStanding(left.Status)}
	}
	return doc
}

type resetDoc struct {
	From   graft.LSN `json:"from"`
	To     graft.LSN `json:"to"`
	Backup *string   `json:"backup"` // null: nothing was to be kept
}

type statusDoc struct {
	Tag string `json:"tag"`
	standing
	State string   `json:"state"`
	Next  []string `json:"next"`
}

func newStatusDoc(info graft.Info) statusDoc {
	a := adviseOn(info)
	doc := statusDoc{info.Tag, newStanding(info.Status), a.state, []string{}}
	for _, n := range a.next {
		doc.Next = append(doc.Next, n.pragma)
	}
	return doc
}

type infoDoc struct {
	Tag        string      `json:"tag"`
	Graft      string      `json:"graft"`
	Remote     string      `json:"remote"`
	Exists     bool        `json:"exists"`
	SyncRemote graft.LSN   `json:"sync_remote"`
	SyncLocal  graft.LSN   `json:"sync_local"`
	LocalHead  graft.LSN   `json:"local_head"`
	Snapshot   snapshotDoc `json:"snapshot"`
}

func newInfoDoc(i graft.Info) infoDoc {
	return infoDoc{i.Tag, i.Graft.String(), i.Remote.String(), i.Exists, i.SyncPoint.Remote, i.SyncPoint.Local, i.LocalHead, newSnapshotDoc(i.Snapshot)}
}

type snapshotDoc struct {
	Pages  graft.PageCount `json:"pages"`
	Bytes  int64           `json:"bytes"`
	Layers []layerDoc      `json:"layers"`
}

type layerDoc struct {
	Volume string    `json:"volume"`
	First  graft.LSN `json:"first"`
	Last   graft.LSN `json:"last"`
}

func newSnapshotDoc(s *graft.Snapshot) snapshotDoc {
	doc := snapshotDoc{s.PageCount(), s.PageCount().Bytes(), []layerDoc{}}
	for _, l := range s.Layers() {
		doc.Layers = append(doc.Layers, layerDoc{l.Volume.String(), l.LSNs.First, l.LSNs.Last})
	}
	return doc
}

type fetchDoc struct {
	Head graft.LSN `json:"head"`
	New  int       `json:"new"`
}

type pullDoc struct {
	From graft.LSN `json:"from"`
	To   graft.LSN `json:"to"`
}

type pushDoc struct {
	LSN     graft.LSN `json:"lsn"`
	Commits uint64    `json:"commits"`
	Pages   int       `json:"pages"`
}

type hydrateDoc struct {
	Fetched int `json:"fetched"`
}

type auditDoc struct {
	Present graft.PageCount `json:"present"`
	Written graft.PageCount `json:"written"`
	Unknown graft.PageCount `json:"unknown"`
}

type versionDoc struct {
	Version string `json:"version"`
}

type fileDoc struct {
	Path  string          `json:"path"`
	Pages graft.PageCount `json:"pages"`
}

// headerDoc has the fields of a header in their order.
type headerDoc []headerField

type headerField struct {
	name  string
	value uint32
}

func newHeaderDoc(h sqlitefile.Header) headerDoc {
	var doc headerDoc
	for _, f := range sqlitefile.Fields {
		doc = append(doc, headerField{f.Name, h.Field(f)})
	}
	return doc
}

// MarshalJSON gives one object.
func (d headerDoc) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, f := range d {
		b.WriteByte("{,"[min(i, 1)])
		n, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.WriteString(`"` + f.name + `":`)
		b.Write(n)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

type entryDoc struct {
	Volume string    `json:"volume"`
	LSN    graft.LSN `json:"lsn"`
	Pushed bool      `json:"pushed"`
	Time   string    `json:"time"` // RFC 3339, UTC
	Pages  int       `json:"pages"`
	Bytes  int64     `json:"bytes"`
}

func newEntryDoc(c graft.CommitInfo) entryDoc {
	return entryDoc{c.Volume.String(), c.LSN, !c.PushID.IsZero(), timeText(c.Time), c.Pages().Len(), c.Bytes}
}

// timeText gives a time to the millisecond, as records have it.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

type logDoc struct {
	Commits []entryDoc `json:"commits"`
}

func newLogDoc(commits []graft.CommitInfo) logDoc {
	doc := logDoc{Commits: []entryDoc{}}
	for _, c := range commits {
		doc.Commits = append(doc.Commits, newEntryDoc(c))
	}
	return doc
}

type commitDoc struct {
	entryDoc
	PageCount   graft.PageCount `json:"page_count"`
	Kept        graft.PageCount `json:"kept"`
	RecordBytes int64           `json:"record_bytes"`
	Hash        string          `json:"hash"`
	Parent      string          `json:"parent"`  // empty: none
	PushID      string          `json:"push_id"` // empty: not pushed
	Segments    []segmentDoc    `json:"segments"`
	Checkpoint  string          `json:"checkpoint"` // key, or empty
	Pack        string          `json:"pack"`       // key, or empty
	Ancestors   []originDoc     `json:"ancestors"`
}

type segmentDoc struct {
	Segment string `json:"segment"`
	Pages   int    `json:"pages"`
	Inline  bool   `json:"inline"`
}

type originDoc struct {
	Volume string    `json:"volume"`
	LSN    graft.LSN `json:"lsn"`
}

func newCommitDoc(c graft.CommitInfo) commitDoc {
	doc := commitDoc{entryDoc: newEntryDoc(c), PageCount: c.PageCount, Kept: c.Kept, RecordBytes: c.Record,
		Hash: c.Hash.String(), Segments: []segmentDoc{}, Ancestors: []originDoc{}}
	if !c.Parent.IsZero() {
		doc.Parent = c.Parent.String()
	}
	if !c.PushID.IsZero() {
		doc.PushID = c.PushID.String()
	}
	for _, s := range c.Segments {
		doc.Segments = append(doc.Segments, segmentDoc{s.ID.String(), s.Pages.Len(), s.Inline})
	}
	if ref := c.Checkpoint; ref != (volume.CheckpointRef{}) {
		doc.Checkpoint = ref.Key()
	}
	if !c.Pack.IsZero() {
		doc.Pack = c.Pack.Key()
	}
	for _, o := range c.Ancestors {
		doc.Ancestors = append(doc.Ancestors, originDoc{o.Volume.String(), o.LSN})
	}
	return doc
}

type statsDoc struct {
	Statement  countsDoc `json:"statement"`
	Connection countsDoc `json:"connection"`
	Process    countsDoc `json:"process"`
}

type countsDoc struct {
	Requests        int64   `json:"requests"`
	Gets            int64   `json:"gets"`
	Puts            int64   `json:"puts"`
	Lists           int64   `json:"lists"`
	Heads           int64   `json:"heads"`
	Deletes         int64   `json:"deletes"`
	RoundTrips      int64   `json:"round_trips"`
	BytesIn         int64   `json:"bytes_in"`
	BytesOut        int64   `json:"bytes_out"`
	PagesCached     int64   `json:"pages_cached"`
	PagesLocal      int64   `json:"pages_local"`
	PagesFetched    int64   `json:"pages_fetched"`
	RequestDollars  float64 `json:"request_dollars"`
	TransferDollars float64 `json:"transfer_dollars"`
}

func newCountsDoc(s graft.Stats) countsDoc {
	return countsDoc{
		s.Requests(), s.Gets, s.Puts, s.Lists, s.Heads, s.Deletes, s.RoundTrips, s.BytesIn, s.BytesOut,
		s.PagesCached, s.PagesLocal, s.PagesFetched, s.RequestDollars(), s.TransferDollars(),
	}
}
