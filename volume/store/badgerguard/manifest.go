package badgerguard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"graft/volume"
)

const (
	manifestName    = "MANIFEST"
	manifestMagic   = "Bdgr"
	manifestVersion = 8
	maxLevels       = 7

	registryName   = "KEYREGISTRY"
	registryIV     = 16
	registryText   = "Hello Badger"
	registrySize   = registryIV + len(registryText)
	manifestHeader = 8
	recordHeader   = 8
)

// manifest is what a MANIFEST says. The file, big endian:
//
//	offset  size  field
//	     0     4  magic "Bdgr"
//	     4     2  version of the program, 0
//	     6     2  version of the format, 8
//	     8     *  records: length n (4), CRC-32C (4), pb.ManifestChangeSet (n)
type manifest struct {
	tables    map[uint64]bool // that make up the database
	named     map[uint64]bool // ever named
	rewritten bool            // so that named is not the whole story
}

func (c *checker) checkManifest() error {
	if _, ok := c.others[manifestName]; !ok {
		return damage(manifestName, 0, "missing, where there are %d tables and %d logs", len(c.tables), len(c.mems)+len(c.vlogs))
	}
	b, err := c.read(manifestName)
	if err != nil {
		return err
	}
	c.manifest, err = parseManifest(b)
	if err != nil {
		return err
	}
	for id := range c.manifest.tables {
		if _, ok := c.tables[id]; !ok {
			return damage(tableName(id), 0, "missing, where the MANIFEST names it")
		}
	}
	return nil
}

func parseManifest(b []byte) (manifest, error) {
	m := manifest{tables: map[uint64]bool{}, named: map[uint64]bool{}}
	if len(b) < manifestHeader || string(b[:4]) != manifestMagic {
		return m, damage(manifestName, 0, "no magic")
	}
	if binary.BigEndian.Uint16(b[4:]) != 0 || binary.BigEndian.Uint16(b[6:]) != manifestVersion {
		return m, fmt.Errorf("%w: %s says %x instead of %08x", volume.ErrVersion, manifestName, b[4:8], manifestVersion)
	}
	for at := manifestHeader; at+recordHeader <= len(b); {
		size := int64(binary.BigEndian.Uint32(b[at:]))
		sum := binary.BigEndian.Uint32(b[at+4:])
		rest := b[at+recordHeader:]
		if size > int64(len(rest)) {
			if size > int64(len(b)) || hasPrefixWithSum(rest, sum) || sum == 0 && at == manifestHeader {
				return m, damage(manifestName, int64(at), "length of a record")
			}
			return m, nil // torn: its changes were not made
		}
		payload := rest[:size]
		if crc32.Checksum(payload, castagnoli) != sum {
			return m, damage(manifestName, int64(at), "checksum of a record")
		}
		if err := m.apply(payload, at); err != nil {
			return m, err
		}
		at += recordHeader + len(payload)
	}
	return m, nil
}

// hasPrefixWithSum tells whether a record is whole but for its length. That of
// no bytes, of which the checksum is 0, is only the first of a MANIFEST, which is
// never torn.
func hasPrefixWithSum(b []byte, want uint32) bool {
	var sum uint32
	for i := range b {
		sum = crc32.Update(sum, castagnoli, b[i:i+1])
		if sum == want {
			return true
		}
	}
	return false
}

func (m *manifest) apply(payload []byte, at int) error {
	var set pb.ManifestChangeSet
	if err := proto.Unmarshal(payload, &set); err != nil {
		return damage(manifestName, int64(at), "%v", err)
	}
	// Badger begins a MANIFEST with its tables: none, unless it rewrites one.
	m.rewritten = m.rewritten || at == manifestHeader && len(payload) > 0
	for _, change := range set.Changes {
		m.named[change.Id] = true
		switch {
		case change.Op == pb.ManifestChange_DELETE:
			delete(m.tables, change.Id)
		case change.Op != pb.ManifestChange_CREATE:
			return damage(manifestName, int64(at), "change %d", change.Op)
		case m.tables[change.Id]:
			return damage(manifestName, int64(at), "table %d twice", change.Id)
		case change.Level >= maxLevels || change.KeyId != 0 || change.Compression != 0:
			return damage(manifestName, int64(at), "table %d of level %d, key %d, compression %d",
				change.Id, change.Level, change.KeyId, change.Compression)
		default:
			m.tables[change.Id] = true
		}
	}
	return nil
}

// checkRegistry checks the KEYREGISTRY, which without encryption is a constant
// but for 16 random bytes. Badger makes one that is missing.
func (c *checker) checkRegistry() error {
	size, ok := c.others[registryName]
	if !ok {
		return nil
	}
	if size != int64(registrySize) {
		return damage(registryName, size, "has %d bytes instead of %d", size, registrySize)
	}
	b, err := c.read(registryName)
	if err != nil {
		return err
	}
	if len(b) != registrySize || string(b[registryIV:]) != registryText {
		return damage(registryName, registryIV, "not the registry of a database without encryption")
	}
	return nil
}
