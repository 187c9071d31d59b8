package master

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Client speaks to the admin API of a master.
type Client struct {
	Addr  string // host:port
	Token string
}

// ErrNoMaster: nobody answers at the admin address.
var ErrNoMaster = errors.New("no master answers")

func (c Client) do(ctx context.Context, method, path string, q url.Values) (*http.Response, error) {
	return c.send(ctx, method, path, q, http.NoBody)
}

func (c Client) send(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: c.Addr, Path: path, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	tr := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w at %s", ErrNoMaster, c.Addr)
		}
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		defer res.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return nil, fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(b))
	}
	return res, nil
}

// Status gives all processes, the master first.
func (c Client) Status(ctx context.Context) ([]Process, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	res, err := c.do(ctx, http.MethodGet, "/v1/status", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var ps []Process
	return ps, json.NewDecoder(res.Body).Decode(&ps)
}

// Logs writes the last lines of a node's log, of all nodes' when name is "", and goes on
// until ctx ends when follow is set.
func (c Client) Logs(ctx context.Context, w io.Writer, name string, lines int, follow bool) error {
	q := url.Values{"lines": {strconv.Itoa(lines)}}
	if name != "" {
		q.Set("name", name)
	}
	if follow {
		q.Set("follow", "1")
	}
	res, err := c.do(ctx, http.MethodGet, "/v1/logs", q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Stop stops everything and returns when the master is gone.
func (c Client) Stop(ctx context.Context) error {
	res, err := c.do(ctx, http.MethodPost, "/v1/stop", nil)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", c.Addr)
		if err != nil && ctx.Err() == nil {
			return nil
		}
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the master has not ended: %w", ctx.Err())
		}
	}
}

// Restart starts a node at once that waits for its restart or FAILED.
func (c Client) Restart(ctx context.Context, name string) error {
	res, err := c.do(ctx, http.MethodPost, "/v1/restart", url.Values{"name": {name}})
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Tables puts a question, in JSON, to the node that keeps tables; to every such node when it is "".
func (c Client) Tables(ctx context.Context, node string, ask []byte) ([]Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tablesTime+5*time.Second)
	defer cancel()
	res, err := c.send(ctx, http.MethodPost, "/v1/tables", url.Values{"node": {node}}, bytes.NewReader(ask))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var as []Answer
	return as, json.NewDecoder(res.Body).Decode(&as)
}
