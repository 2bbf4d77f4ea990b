package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// unchanged checks that dir holds the file with the text "old" and nothing else.
func unchanged(t *testing.T, path string) {
	t.Helper()
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("the old file holds %q: %v", data, err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("left in the folder: %v, %v", files, err)
	}
}

func TestAtomicWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"new", "newer", ""} {
		if err := AtomicWrite(path, text(s)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != s {
			t.Errorf("wrote %q, read %q: %v", s, data, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
}

func TestAtomicWriteFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := AtomicWrite(path, text("old")); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no more numbers")
	err := AtomicWrite(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("x", 3<<20)); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), tempMark) {
		t.Errorf("%v", err)
	}
	unchanged(t, path)

	for _, bad := range []string{filepath.Join(path, "g"), filepath.Join(filepath.Dir(path), "none", "g")} {
		if err := AtomicWrite(bad, text("new")); err == nil || !strings.HasPrefix(err.Error(), "cannot write "+bad+": ") || strings.Contains(err.Error(), tempMark) {
			t.Errorf("%v", err)
		}
	}
	if err := AtomicWrite(filepath.Dir(path), text("new")); err == nil || strings.Contains(err.Error(), tempMark) {
		t.Errorf("a folder replaced by a file: %v", err)
	}
}

// mountTmpfs mounts a file system of 256 KiB, or skips the test.
func mountTmpfs(t *testing.T) string {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("SKIPPED, no small file system to fill: mounting a tmpfs: %v (needs root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(mountTmpfs(t), "f")
	if err := AtomicWrite(path, text("old")); err != nil {
		t.Fatal(err)
	}
	err := Write(path, []Tensor{NewTensor("x", []int{1 << 18}, make([]float64, 1<<18), 4)}, nil)
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	var n int
	if _, e := fmt.Sscanf(err.Error(), "cannot write "+path+": the disk is full after %d bytes; free", &n); e != nil || n <= 0 || n > 256<<10 {
		t.Errorf("%v: %v", err, e)
	}
	unchanged(t, path)
	if err := AtomicWrite(path, text("new")); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	dir := mountTmpfs(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip("SKIPPED, the file system cannot be made read-only: ", err)
	}
	path := filepath.Join(dir, "f")
	if err := AtomicWrite(path, text("new")); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if _, err := Lock(dir); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "runs"), 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "runs", ".state"+tempMark+"123")
	for _, f := range []string{stale, filepath.Join(dir, "state"), filepath.Join(dir, ".hidden")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		unlock, err := Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("the run folder %s is in use by process %d; ", dir, os.Getpid())
		if _, err := Lock(dir); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("locked twice: %v", err)
		}
		unlock()
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the file of a killed process was left")
	}
	if files, _ := os.ReadDir(dir); len(files) != 4 {
		t.Errorf("%v: files were removed or left", files)
	}
	if _, err := Lock(filepath.Join(dir, "none")); err == nil {
		t.Error("locked a folder that is not there")
	}
}
