package mobile

import (
	"database/sql"
	"fmt"
	"math"
	"strconv"
)

// Rows are the answer to a query. Next moves to the first row, and then to the following ones.
type Rows struct {
	rows    *sql.Rows
	columns []string
	values  []any
	targets []any
}

func newRows(rows *sql.Rows, columns []string) *Rows {
	r := &Rows{rows: rows, columns: columns, values: make([]any, len(columns)), targets: make([]any, len(columns))}
	for i := range r.values {
		r.targets[i] = &r.values[i]
	}
	return r
}

// Next moves to the next row. It is false at the end. An error is one of the database, or of the network.
func (r *Rows) Next() (bool, error) {
	if !r.rows.Next() {
		return false, r.rows.Err()
	}
	if err := r.rows.Scan(r.targets...); err != nil {
		return false, err
	}
	for i, v := range r.values {
		if v, ok := v.(bool); ok { // the driver's, of a column that is declared so
			r.values[i] = int64(0)
			if v {
				r.values[i] = int64(1)
			}
		}
	}
	return true, nil
}

// Close ends the query. It need not be at its end.
func (r *Rows) Close() error { return r.rows.Close() }

// Columns is the number of columns.
func (r *Rows) Columns() int { return len(r.columns) }

// Column is the name of a column; they count from 0.
func (r *Rows) Column(i int) (string, error) {
	if i < 0 || i >= len(r.columns) {
		return "", errNoColumn(i, len(r.columns))
	}
	return r.columns[i], nil
}

func (r *Rows) value(i int) (any, error) {
	if i < 0 || i >= len(r.values) {
		return nil, errNoColumn(i, len(r.values))
	}
	return r.values[i], nil
}

// IsNull tells whether a value of the row is NULL.
func (r *Rows) IsNull(i int) (bool, error) {
	v, err := r.value(i)
	return v == nil && err == nil, err
}

// Integer gives a value of the row that is a whole number.
func (r *Rows) Integer(i int) (int64, error) {
	v, err := r.value(i)
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	}
	return 0, fmt.Errorf("mobile: column %d is no whole number", i)
}

// Real gives a value of the row that is a number.
func (r *Rows) Real(i int) (float64, error) {
	v, err := r.value(i)
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	}
	return 0, fmt.Errorf("mobile: column %d is no number", i)
}

// Text gives a value of the row as text; NULL is empty.
func (r *Rows) Text(i int) (string, error) {
	v, err := r.value(i)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	}
	return fmt.Sprint(v), nil
}

// Bytes gives a value of the row that is a blob or a text; NULL is empty.
func (r *Rows) Bytes(i int) ([]byte, error) {
	v, err := r.value(i)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		return append([]byte{}, v...), nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("mobile: column %d is no blob", i)
}
