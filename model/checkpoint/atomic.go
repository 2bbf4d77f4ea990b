package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// AtomicWrite replaces a file: it writes a temporary file beside it, syncs, renames and syncs the folder. Until the rename the
// old file is untouched; on any error the temporary file is removed.
func AtomicWrite(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		f.Close()
		os.Remove(f.Name())
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%s: the disk is full; free space and resume, the last file is intact: %w", path, err)
		} else {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	for _, step := range []func() error{
		func() error { return write(w) }, w.Flush, f.Sync, f.Close,
		func() error { return os.Chmod(f.Name(), 0o644) },
		func() error { return os.Rename(f.Name(), path) },
	} {
		if err = step(); err != nil {
			return err
		}
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Lock makes a run folder this process's until unlock is called or the process ends.
func Lock(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(f)
		f.Close()
		return nil, fmt.Errorf("%s is in use by another process (pid %s)", dir, strings.TrimSpace(string(pid)))
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
