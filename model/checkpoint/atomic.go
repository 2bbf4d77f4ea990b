package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tempMark is part of the name of every temporary file, so that Lock recognises what a killed process left behind.
const tempMark = ".tapweight-tmp-"

// AtomicWrite replaces a file: it writes a temporary file beside it, syncs it, renames it and syncs the folder. At every
// moment path is either the old file or the whole new one. Temporary files of the same name that killed processes left an hour
// ago are removed. On an error the old file is as it was and the temporary file is
// gone; the error names path, and on a full disk it wraps unix.ENOSPC and says how many bytes fitted.
func AtomicWrite(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+tempMark+"*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, bare(err))
	}
	n := &counter{w: f}
	w := bufio.NewWriterSize(n, 1<<20)
	for _, step := range []func() error{
		func() error { return f.Chmod(0o644) },
		func() error { return write(w) },
		w.Flush,
		f.Sync,
		f.Close,
		func() error { return os.Rename(f.Name(), path) },
	} {
		if err := step(); err != nil {
			f.Close()
			os.Remove(f.Name())
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
				return fmt.Errorf("cannot write %s: the disk is full after %d bytes; free some space and go on, no file was changed: %w", path, n.bytes, bare(err))
			}
			return fmt.Errorf("cannot write %s: %w", path, bare(err))
		}
	}
	removeAbandoned(dir, filepath.Base(path))
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeAbandoned deletes what writers of the same file that were killed have left. A writer that lives takes seconds.
func removeAbandoned(dir, name string) {
	old, _ := filepath.Glob(filepath.Join(dir, "."+name+tempMark+"*")) // fails on a malformed pattern only, and then nothing is tidied
	for _, p := range old {
		if info, err := os.Stat(p); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(p)
		}
	}
}

// bare strips the operation and the temporary file's name off a file error: the caller names the file that matters.
func bare(err error) error {
	var p *os.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p) && strings.Contains(p.Path, tempMark):
		return p.Err
	case errors.As(err, &l) && strings.Contains(l.Old, tempMark):
		return l.Err
	}
	return err
}

type counter struct {
	w     io.Writer
	bytes int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.bytes += int64(n)
	return n, err
}

// Lock makes a run folder this process's own until unlock is called or the process ends, however it ends. A folder that is
// in use is an error that names the process. Temporary files that a killed process left in the folder or below it are removed.
func Lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the run folder: %w", err)
	}
	fail := func(err error) (func(), error) {
		f.Close()
		return nil, fmt.Errorf("cannot lock the run folder %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := io.ReadAll(f)
		f.Close()
		return nil, fmt.Errorf("the run folder %s is in use by process %s; wait for it or choose another folder", dir, strings.TrimSpace(string(pid)))
	} else if err != nil {
		return fail(err)
	}
	if err := f.Truncate(0); err != nil {
		return fail(err)
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return fail(err)
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if name := filepath.Base(path); err == nil && name[0] == '.' && strings.Contains(name, tempMark) {
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		return fail(err)
	}
	return func() { f.Close() }, nil
}
