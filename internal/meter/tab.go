package meter

import "context"

// Tab is where what a context does is counted. A nil Meter does not count.
type Tab struct {
	Statement *Meter
	Total     *Meter // of the connection
	Budget    Budget // of Statement
	Ahead     *Ahead // of Statement; nil: what is fetched ahead outlives it

	// Speculative is set where nobody has asked for what is fetched: it stops at
	// half of the budget.
	Speculative bool
}

// budget is what holds for a request.
func (t *Tab) budget() Budget {
	if t.Speculative {
		return t.Budget.speculative()
	}
	return t.Budget
}

type tabKey struct{}

// Context is a context that counts for its Tab alone, without the pair of allocations
// of context.WithValue. It must not change once it is in use.
type Context struct {
	context.Context
	Tab Tab
}

// Value gives the Tab to this package, and else what the context within does.
func (c *Context) Value(key any) any {
	if _, ok := key.(tabKey); ok {
		return &c.Tab
	}
	return c.Context.Value(key)
}

// With gives a context that counts for tab alone.
func With(ctx context.Context, tab Tab) context.Context { return &Context{ctx, tab} }

// Of gives the Tab of a context, which must not be changed.
func Of(ctx context.Context) *Tab {
	if c, ok := ctx.(*Context); ok {
		return &c.Tab
	}
	if tab, ok := ctx.Value(tabKey{}).(*Tab); ok {
		return tab
	}
	return &none
}

var none Tab

// Speculate gives a context for what nobody has asked for yet.
func Speculate(ctx context.Context) context.Context {
	tab := *Of(ctx)
	tab.Speculative = true
	return With(ctx, tab)
}

// Page counts a page.
func (t *Tab) Page(from Origin) {
	for _, m := range [...]*Meter{t.Statement, t.Total} {
		if m != nil {
			m.Page(from)
		}
	}
}

// Request is a request under way. It is not safe for concurrent use.
type Request struct {
	meters   [3]*Meter
	depths   [3]int64
	budgets  [3]Budget // the statement alone has one
	reserved int64
}

// Begin counts a request that is to read so many bytes, for the Tab of ctx and for
// own. ErrBudget tells that it must not be made; then nothing is counted. End must
// follow.
func Begin(ctx context.Context, own *Meter, kind Kind, bytes int64) (*Request, error) {
	t := Of(ctx)
	r := &Request{meters: [3]*Meter{t.Statement, t.Total, own}, budgets: [3]Budget{t.budget()}, reserved: bytes}
	for i, m := range r.meters {
		if m == nil {
			continue
		}
		var err error
		if r.depths[i], err = m.begin(kind, bytes, r.budgets[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Expect tells that the answer has so many bytes. ErrBudget tells that they must not
// be read.
func (r *Request) Expect(bytes int64) error {
	for i, m := range r.meters {
		if m == nil {
			continue
		}
		if err := m.expect(bytes, r.budgets[i]); err != nil {
			return err
		}
	}
	r.reserved += bytes
	return nil
}

// In counts bytes that were read.
func (r *Request) In(n int) {
	reserved := min(int64(n), r.reserved)
	r.reserved -= reserved
	for _, m := range r.meters {
		if m != nil {
			m.read(int64(n), reserved)
		}
	}
}

// Out counts bytes that were written.
func (r *Request) Out(n int) {
	for _, m := range r.meters {
		if m != nil {
			m.wrote(int64(n))
		}
	}
}

// End tells that the request has ended.
func (r *Request) End() {
	for i, m := range r.meters {
		if m != nil {
			m.end(r.depths[i], r.reserved)
		}
	}
}
