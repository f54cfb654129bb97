-- +goose Up
ALTER TABLE orders ADD COLUMN amount INTEGER NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE orders DROP COLUMN amount;
