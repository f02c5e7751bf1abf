package node

import (
	"fmt"
	"io"
	"os"
)

// logLimit bounds one log file; one older file is kept beside it.
const logLimit = 4 << 20

// logPipe returns the write end of a pipe whose other end is appended to a file until all writers are gone.
func logPipe(path string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		_, _ = r.Close(), w.Close()
		return nil, fmt.Errorf("log: %w", err)
	}
	go drain(r, f, path)
	return w, nil
}

func drain(r *os.File, f *os.File, path string) {
	defer r.Close()
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		if size += int64(n); size > logLimit {
			_ = f.Close()
			_ = os.Rename(path, path+".1")
			next, oerr := os.Create(path)
			if oerr != nil {
				_, _ = io.Copy(io.Discard, r) // never block the process on its log
				return
			}
			f, size = next, int64(n)
		}
		_, _ = f.Write(buffer[:n])
		if err != nil {
			_ = f.Close()
			return
		}
	}
}
