package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// dialogue is a process that answers each line of JSON with one. What it complains of goes to ours.
type dialogue struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	calls *json.Encoder
	says  *json.Decoder
}

// startDialogue starts a command of which nothing but path, arguments and environment is set.
func startDialogue(cmd *exec.Cmd) (*dialogue, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &dialogue{cmd: cmd, in: in, calls: json.NewEncoder(in), says: json.NewDecoder(out)}, nil
}

// exchange writes a call and reads what the process says to it.
func (d *dialogue) exchange(call, reply any) error {
	if err := d.calls.Encode(call); err != nil {
		return err
	}
	if err := d.says.Decode(reply); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	return nil
}

// close ends the input, and waits for the process.
func (d *dialogue) close() error { return errors.Join(d.in.Close(), d.cmd.Wait()) }
