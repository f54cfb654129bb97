// Package testserver starts real servers of buckets for tests: on a port of the loopback interface, over a directory that
// the test gives or in memory, stopped by Close. The programs are those that "make servers" and "make servers-clouds" install.
package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

const bucket = "graft"

// ErrAbsent is returned by Start when the server's program is not installed.
var ErrAbsent = errors.New("test server is not installed (make servers, make servers-clouds)")

// A Kind is one program that serves buckets.
type Kind struct {
	Name string // of the program

	path       string // of the program, if that is more than its name
	args       func(addr, dir string) []string
	env        []string
	makeBucket func(ctx context.Context, addr string) error // as soon as the server takes requests
	url        func(addr string) string                     // of that bucket
	clientEnv  func(addr, home string) map[string]string
}

// A Server is one that runs.
type Server struct {
	kind   Kind
	addr   string
	home   string // where the process has its home directory
	cancel context.CancelFunc
	exited chan struct{}
	err    error         // of the process; after exited
	log    *bytes.Buffer // after exited
}

// Start starts a server over dir, an empty directory, and makes a bucket in it. It gives up when ctx ends. A server
// that loses its port to another program before it has it is started again.
func (k Kind) Start(ctx context.Context, dir string) (*Server, error) {
	program, err := k.find()
	if err != nil {
		return nil, err
	}
	for range 3 {
		var s *Server
		s, err = k.run(program, dir)
		if err != nil {
			return nil, err
		}
		if err = s.makeBucket(ctx); err == nil {
			return s, nil
		}
		err = fmt.Errorf("start %s: %w\n%s", k.Name, errors.Join(err, s.Close()), s.log)
		if ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, err
}

// TB is what Serve needs of a test.
type TB interface {
	Cleanup(f func())
	Context() context.Context
	Error(args ...any)
	Fatal(args ...any)
	Helper()
	Setenv(key, value string)
	Skip(args ...any)
	TempDir() string
}

// Serve starts a server for the rest of a test, sets the environment of its clients, and returns the URL of its bucket. It
// skips the test when the program is not installed.
func (k Kind) Serve(t TB) (bucketURL string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := k.Start(ctx, t.TempDir())
	if errors.Is(err, ErrAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, value := range s.Env() {
		t.Setenv(name, value)
	}
	return s.URL()
}

// find returns the path of the program.
func (k Kind) find() (string, error) {
	dir := os.Getenv("GRAFT_SERVERS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrAbsent, err)
		}
		dir = filepath.Join(cache, "graft", "servers")
	}
	path := filepath.Join(dir, filepath.FromSlash(k.path), k.Name)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return path, nil
}

// run starts the process, which need not serve yet when run returns.
func (k Kind) run(program, dir string) (*Server, error) {
	data, home := filepath.Join(dir, "data"), filepath.Join(dir, "home")
	for _, d := range []string{data, home} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{kind: k, addr: addr, home: home, cancel: cancel, exited: make(chan struct{}), log: new(bytes.Buffer)}
	cmd := exec.CommandContext(ctx, program, k.args(addr, data)...)
	cmd.Dir = home
	cmd.Env = slices.Concat(os.Environ(), k.env, []string{"HOME=" + home})
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.WaitDelay = 10 * time.Second // for output that a child of its own may hold open
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(s.exited)
		s.err = cmd.Wait()
	}()
	return s, nil
}

// freeAddr returns an address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// makeBucket makes the bucket, or gives up when the process ends.
func (s *Server) makeBucket(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.kind.makeBucket(ctx, s.addr)
	cancel()
	<-watched
	if err != nil {
		return fmt.Errorf("make bucket: %w", err)
	}
	return nil
}

// URL returns the URL of the server's bucket, for objstore.Open.
func (s *Server) URL() string { return s.kind.url(s.addr) }

// Env returns the environment in which a client reaches the server, by names and values.
func (s *Server) Env() map[string]string { return s.kind.clientEnv(s.addr, s.home) }

// Close stops the server and waits until it is gone. It returns an error if the server had stopped by itself.
func (s *Server) Close() error {
	select {
	case <-s.exited:
		return fmt.Errorf("test server had stopped: %w", s.err)
	default:
	}
	s.cancel()
	<-s.exited
	return nil
}
