package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// Pin says that something of a Graft is to stay in the store: what, is up to who
// reads it.
type Pin struct {
	Graft volume.VolumeID
	What  string
}

// MaxPinSize bounds what a Pin says, in bytes.
const MaxPinSize = 1024

// pinValue stands under the key of a Pin: no value may be empty.
var pinValue = []byte{1}

// SetPin stores a Pin, if it is new, durably.
func (s *Store) SetPin(p Pin) error {
	if p.What == "" || len(p.What) > MaxPinSize {
		return fmt.Errorf("graft: a pin of %d bytes is over the limit of %d", len(p.What), MaxPinSize)
	}
	if err := s.checkSpace(MaxPinSize); err != nil {
		return err
	}
	return s.updatePins(func(txn *badger.Txn) error { return txn.Set(keyPin(p), pinValue) })
}

// DeletePin removes a Pin. ErrNotFound tells that there is none.
func (s *Store) DeletePin(p Pin) error {
	return s.updatePins(func(txn *badger.Txn) error {
		if _, err := txn.Get(keyPin(p)); err != nil {
			return err
		}
		return txn.Delete(keyPin(p))
	})
}

func (s *Store) updatePins(fn func(*badger.Txn) error) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	err := s.update(fn)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("write pins: %w", err)
	}
	return nil
}

// Pins gives all Pins, those of one Graft together.
func (s *Store) Pins() ([]Pin, error) {
	var pins []Pin
	err := s.scan(spacePin, func(key, _ []byte) error {
		if len(key) <= len(volume.VolumeID{}) {
			return corruptf("key %q of a pin", key)
		}
		v, err := volume.VolumeIDFromBytes(key[:len(volume.VolumeID{})])
		if err != nil {
			return corruptf("pin %x: %w", key, err)
		}
		pins = append(pins, Pin{v, string(key[len(v):])})
		return nil
	})
	return pins, err
}
