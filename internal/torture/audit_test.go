package torture

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"

	"graft"
	"graft/internal/faultbucket"
	"graft/volume"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) iter.Seq[K] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}

// audit reads the log of remote Volume v in the bucket: its LSNs from 1 on have
// one object each, which was put once, one after the other, and names its
// parent; and each push that was acknowledged is where it was said to be. It
// gives the newest LSN.
func audit(b *faultbucket.Bucket, net *faultbucket.Network, v graft.VolumeID, acks []ack) (graft.LSN, error) {
	prefix := fmt.Sprintf("volumes/%s/log/", v)
	keys, landed := b.Keys(prefix), net.Landed(prefix)
	slices.Reverse(keys) // oldest first
	if deleted := net.Deleted(prefix); len(deleted) > 0 {
		return 0, fmt.Errorf("commits were deleted: %q", deleted)
	}
	if len(landed) != len(keys) {
		return 0, fmt.Errorf("%d puts of commits landed on %d keys", len(landed), len(keys))
	}
	var parent volume.Hash
	for i, key := range keys {
		l := graft.LSN(i + 1)
		object := b.Object(key)
		if want := volume.CommitKey(v, l); key != want || landed[i].Key != want {
			return 0, fmt.Errorf("LSN %d: key %s, put as %s, want %s", l, key, landed[i].Key, want)
		}
		if landed[i].Sum != sha256.Sum256(object) {
			return 0, fmt.Errorf("LSN %d is not what was put there", l)
		}
		rec, err := volume.DecodeCommit(object)
		if err != nil {
			return 0, fmt.Errorf("LSN %d: %w", l, err)
		}
		if c := rec.Commit; c.Volume != v || c.LSN != l || c.Parent != parent {
			return 0, fmt.Errorf("LSN %d says volume %s LSN %d, parent %s, want parent %s", l, c.Volume, c.LSN, c.Parent, parent)
		}
		parent = rec.Hash()
	}
	return graft.LSN(len(keys)), auditAcks(b, landed, v, acks)
}

// auditAcks wants each acknowledged push to stand at its LSN, alone, and to have
// come from the machine that was told so.
func auditAcks(b *faultbucket.Bucket, landed []faultbucket.Landing, v graft.VolumeID, acks []ack) error {
	told := make(map[graft.LSN]string)
	for _, a := range acks {
		switch {
		case a.lsn == 0 || a.lsn > graft.LSN(len(landed)):
			return fmt.Errorf("%s was told of LSN %d of %d", a.machine, a.lsn, len(landed))
		case told[a.lsn] != "":
			return fmt.Errorf("%s and %s were both told of LSN %d", told[a.lsn], a.machine, a.lsn)
		case landed[a.lsn-1].Line != a.machine:
			return fmt.Errorf("%s was told of LSN %d, which %s put", a.machine, a.lsn, landed[a.lsn-1].Line)
		case a.object == nil || !bytes.Equal(a.object, b.Object(volume.CommitKey(v, a.lsn))):
			return fmt.Errorf("LSN %d is not what it was when %s was told of it", a.lsn, a.machine)
		}
		told[a.lsn] = a.machine
	}
	return nil
}
