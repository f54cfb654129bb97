package orm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/gormlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"graft"
	"graft/grafttest"
)

// Customer and Order are what GORM makes tables of.
type Customer struct {
	ID     uint
	Name   string `gorm:"uniqueIndex"`
	Since  time.Time
	Orders []Order
}

type Order struct {
	ID         uint
	CustomerID uint
	Item       string
}

func TestGORM(t *testing.T) {
	db := grafttest.Open(t)
	config := &gorm.Config{TranslateError: true, Logger: logger.Discard}
	orm, err := gorm.Open(gormlite.OpenDB(db), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := orm.AutoMigrate(&Customer{}, &Order{}); err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
	ann := Customer{Name: "ann", Since: since, Orders: []Order{{Item: "pear"}, {Item: "fig"}}}
	if err := orm.Create(&ann).Error; err != nil {
		t.Fatal(err)
	}
	if err := orm.Create(&Customer{Name: "ann"}).Error; !errors.Is(err, gorm.ErrDuplicatedKey) {
		t.Errorf("a second ann gives %v, want ErrDuplicatedKey", err)
	}
	undo := errors.New("undo")
	err = orm.Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&ann).Update("name", "bob").Error; err != nil {
			return err
		}
		nested := tx.Transaction(func(tx *gorm.DB) error { // a savepoint
			return errors.Join(tx.Delete(&Order{}, "item = ?", "fig").Error, undo)
		})
		if !errors.Is(nested, undo) {
			return nested
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got Customer
	if err := orm.Preload("Orders").First(&got, "name = ?", "bob").Error; err != nil {
		t.Fatal(err)
	}
	if !got.Since.Equal(since) || len(got.Orders) != 2 || got.Orders[1].Item != "fig" {
		t.Errorf("bob is %+v", got)
	}

	// Another machine sees it; the two diverge, and GORM's error says so.
	if err := orm.Exec("PRAGMA graft_push").Error; err != nil {
		t.Fatal(err)
	}
	there, err := gorm.Open(gormlite.OpenDB(grafttest.Replica(t, db)), config)
	if err != nil {
		t.Fatal(err)
	}
	for _, machine := range []*gorm.DB{there, orm} {
		if err := machine.Create(&Order{CustomerID: got.ID, Item: "plum"}).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := there.Exec("PRAGMA graft_push").Error; err != nil {
		t.Fatal(err)
	}
	if err := orm.Exec("PRAGMA graft_push").Error; !errors.Is(err, graft.ErrDiverged) {
		t.Errorf("the second push gives %v, want ErrDiverged", err)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := orm.WithContext(ended).Find(&[]Customer{}).Error; !errors.Is(err, context.Canceled) {
		t.Errorf("with a canceled context: %v", err)
	}
}
