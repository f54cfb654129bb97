package driver_test

import (
	"context"
	"testing"

	"graft"
)

func TestAPragmaTellsTheProgressOfItsContext(t *testing.T) {
	url, _ := fileBucket(t)
	db := open(t, "tag=main dir=%s remote=%s", t.TempDir(), url)
	db.exec("CREATE TABLE t(a)")
	var last graft.Progress
	ctx := graft.WithProgress(context.Background(), func(p graft.Progress) { last = p })
	if _, err := db.ExecContext(ctx, "PRAGMA graft_push"); err != nil {
		t.Fatal(err)
	}
	if last.Op != "push" || last.Phase != graft.PhaseDone || last.Pages != 2 || last.Pages != last.TotalPages {
		t.Errorf("the push ends with %+v", last)
	}
}
