// Package orm shows, as tests, how what builds on database/sql runs on graft:
// GORM, sqlx, goose and golang-migrate. Each takes the *sql.DB; none needs
// another SQLite, although golang-migrate's package links one.
//
// It is a module of its own, so that graft needs none of them.
package orm
