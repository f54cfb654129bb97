package torture

import (
	"context"

	"graft"
)

// pageWork is the workload at the level of pages.
type pageWork struct{}

func (pageWork) open(*machine)   {}
func (pageWork) close(*machine)  {}
func (pageWork) beside(*machine) {}

func (pageWork) run(ctx context.Context, m *machine, id opID, relaxed bool, mid func()) (before, after state, lsn graft.LSN, err error) {
	lsn, err = m.g.Update(ctx, func(w *graft.Writer) (err error) {
		w.SetRelaxed(relaxed)
		before, after, err = transact(ctx, w, id)
		if err == nil {
			mid()
		}
		return err
	})
	return before, after, lsn, err
}

func (pageWork) state(ctx context.Context, m *machine) (s state, err error) {
	err = m.g.View(func(r *graft.Reader) error {
		s, err = readState(ctx, r)
		return err
	})
	return s, err
}

func (pageWork) verify(ctx context.Context, m *machine) (ids []opID, err error) {
	err = m.g.View(func(r *graft.Reader) error {
		ids, err = compare(ctx, r)
		return err
	})
	return ids, err
}
