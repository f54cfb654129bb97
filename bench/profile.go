package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profileEnv holds the path of the profile, for the children.
const profileEnv = "GRAFT_BENCH_PROFILE"

// startProfiles profiles this process and its children until stop is called, if
// path is not empty.
func startProfiles(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := os.Setenv(profileEnv, path); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	end, err := profileTo(f)
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(os.Unsetenv(profileEnv), end()) }, nil
}

// profileChild profiles this process, a child with a job, until stop is called, if
// its parent is profiled. One that is killed leaves an empty file.
func profileChild(j job) (stop func() error, err error) {
	path := os.Getenv(profileEnv)
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"."+j.Kind+"-*")
	if err != nil {
		return nil, err
	}
	return profileTo(f)
}

func profileTo(f *os.File) (stop func() error, err error) {
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
