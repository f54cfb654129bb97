// Package testserver starts real S3 servers for tests: on a port of the loopback interface, over a directory that the
// test gives, stopped by Close. The programs are those that "make servers" installs.
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

const (
	accessKey = "testkey"
	secretKey = "testsecret"
	region    = "us-east-1"
	bucket    = "graft"
)

// ErrAbsent is returned by Start when the server's program is not installed.
var ErrAbsent = errors.New("test server is not installed (make servers)")

// A Kind is one program that serves S3.
type Kind struct {
	Name string // of the program

	args func(addr, dir string) []string
	env  []string
}

// The servers that there are.
var (
	MinIO = Kind{
		Name: "minio",
		args: func(addr, dir string) []string { return []string{"server", "--address", addr, dir} },
		env: []string{
			"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
			"MINIO_CI_CD=1", // the directory may lie on the system's own disk
		},
	}
	Versity = Kind{
		Name: "versitygw",
		args: func(addr, dir string) []string { return []string{"--port", addr, "--quiet", "posix", dir} },
		env:  []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
	}
)

// Env returns the environment in which a client reaches every server of this package, by names and values. dir is
// where the files of the user's own credentials are not.
func Env(dir string) map[string]string {
	none := filepath.Join(dir, "none")
	return map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
	}
}

// BucketURL returns the URL of a bucket on the server at endpoint, for objstore.Open.
func BucketURL(endpoint, bucket string) string {
	return "s3://" + bucket + "?endpoint=" + endpoint + "&use_path_style=true&region=" + region
}

// A Server is one that runs.
type Server struct {
	endpoint string
	cancel   context.CancelFunc
	exited   chan struct{}
	err      error         // of the process; after exited
	log      *bytes.Buffer // after exited
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
	path := filepath.Join(dir, k.Name)
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
	s := &Server{endpoint: "http://" + addr, cancel: cancel, exited: make(chan struct{}), log: new(bytes.Buffer)}
	cmd := exec.CommandContext(ctx, program, k.args(addr, data)...)
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

// URL returns the URL of the server's bucket, for objstore.Open.
func (s *Server) URL() string { return BucketURL(s.endpoint, bucket) }

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
