package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// A truthLog holds every MCP message that crosses the wire of this process, taken at the byte layer.
//
// Nothing is re-serialised: the bytes that a Read or a Write moved are cut at line feeds and hashed. The files, and so the system
// calls, stay what they are without the log. Without TRUTH_DIR it does nothing.
type truthLog struct {
	mutex    sync.Mutex
	file     *os.File
	role     string
	peer     string
	session  string
	scenario string
}

func newTruthLog(role string) *truthLog {
	log := &truthLog{role: role, peer: os.Getenv("MCP_PEER_NAME"), session: os.Getenv("TRUTH_SESSION")}
	directory := os.Getenv("TRUTH_DIR")
	if directory == "" {
		return log
	}
	path := filepath.Join(directory, fmt.Sprintf("%s-%s-%d.jsonl", role, log.peer, os.Getpid()))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	log.file = file
	log.line(map[string]any{
		"role": role, "peer": log.peer, "pid": os.Getpid(), "start": true, "argv": os.Args, "session": log.session,
	})
	return log
}

func (log *truthLog) setScenario(name string) {
	log.mutex.Lock()
	defer log.mutex.Unlock()
	log.scenario = name
}

func (log *truthLog) end() { log.line(map[string]any{"end": true}) }

func (log *truthLog) line(entry map[string]any) {
	if log.file == nil {
		return
	}
	text, err := json.Marshal(entry)
	if err != nil {
		panic(err)
	}
	if _, err := log.file.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

func (log *truthLog) message(direction string, line []byte) {
	text := bytes.Trim(line, " \t\r\n")
	if log.file == nil || len(text) == 0 {
		return
	}
	hash := sha256.Sum256(text)
	log.mutex.Lock()
	scenario := log.scenario
	log.mutex.Unlock()
	entry := map[string]any{
		"role": log.role, "peer": log.peer, "pid": os.Getpid(), "direction": direction, "size": len(text),
		"sha256": hex.EncodeToString(hash[:]), "session": log.session, "scenario": scenario, "method": nil,
	}
	var value struct {
		Method *string         `json:"method"`
		ID     json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(text, &value); err != nil {
		entry["invalid"] = true
	}
	entry["method"] = value.Method
	if value.ID != nil {
		entry["id"] = value.ID
	}
	log.line(entry)
}

// A splitter collects one direction's bytes until a line is whole.
type splitter struct {
	log       *truthLog
	direction string
	rest      []byte
}

func (s *splitter) feed(data []byte) {
	for {
		at := bytes.IndexByte(data, '\n')
		if at < 0 {
			s.rest = append(s.rest, data...)
			return
		}
		s.log.message(s.direction, append(s.rest, data[:at]...))
		s.rest = nil
		data = data[at+1:]
	}
}

type loggedReader struct {
	io.ReadCloser
	splitter *splitter
}

func (log *truthLog) reader(inner io.ReadCloser) io.ReadCloser {
	return loggedReader{inner, &splitter{log: log, direction: "received"}}
}

func (r loggedReader) Read(buffer []byte) (int, error) {
	count, err := r.ReadCloser.Read(buffer)
	r.splitter.feed(buffer[:count])
	return count, err
}

type loggedWriter struct {
	io.WriteCloser
	splitter *splitter
}

func (log *truthLog) writer(inner io.WriteCloser) io.WriteCloser {
	return loggedWriter{inner, &splitter{log: log, direction: "sent"}}
}

func (w loggedWriter) Write(data []byte) (int, error) {
	count, err := w.WriteCloser.Write(data)
	w.splitter.feed(data[:count])
	return count, err
}
