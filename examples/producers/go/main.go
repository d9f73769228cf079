// Producer adds tasks through the HTTP API of gaia-actors, and waits for one of them.
//
// It adds one task and a list of tasks, each of them once: a request whose answer was lost is sent again with the same Idempotency-Key, and
// the server answers with the tasks that it has added already. At the end it sends both requests once more on purpose, to show that.
//
//	cargo run --example embedded --features web
//	curl -H 'content-type: application/json' -d '{"item": "tea", "amount": 2}' localhost:8080/orders
//	cd examples/producers/go && go run .
//
// GAIA_URL says where the API is (default http://localhost:8080/gaia/api/v1). GAIA_TOKEN is a token with the permissions enqueue and view
// (a producer that waits for no result needs enqueue alone); a server that gives access to its own machine needs none.
// The exit status is 0 only if every task was added once and the first of them has succeeded.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"strconv"
	"strings"
	"time"
)

const (
	theme = "order-task"
	// How long a request may take, before its answer counts as lost.
	requestTimeout = 10 * time.Second
	// How long one request waits for the end of a task. The server allows 60 s.
	waitPerRequest = 20 * time.Second
	// How often a request is sent at most, and the pauses between: they double, from the first to the longest.
	maxAttempts  = 8
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// newTask has the fields that this program needs. All fields are in the documentation of gaia-actors' NewTask.
type newTask struct {
	Theme   string `json:"theme,omitempty"`
	Service string `json:"service"`
	Method  string `json:"method"`
	Name    string `json:"name,omitempty"`
	Args    any    `json:"args"`
}

// addedTask is the answer for each task. Duplicate: an unfinished task has the same unique_key, and ID is the id of that task.
type addedTask struct {
	ID        int64 `json:"id"`
	Duplicate bool  `json:"duplicate"`
}

// task has the fields of a task that this program looks at. Result stays text, so that no number in it is rounded.
type task struct {
	ID         int64           `json:"id"`
	Status     string          `json:"status"`
	LastResult json.RawMessage `json:"last_result"`
	LastError  string          `json:"last_error"`
}

// problem is a refusal, as application/problem+json.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string {
	return fmt.Sprintf("the server refuses with %d %s: %s", p.Status, p.Code, p.Detail)
}

// client sends requests to the API.
type client struct {
	url   string
	token string
	http  http.Client
}

// request is sent again as it is, as often as it takes.
type request struct {
	method, path string
	contentType  string
	key          string // of an addition; "" for others
	body         []byte
	timeout      time.Duration
}

// answer is an answer with a status below 400.
type answer struct {
	status   int
	replayed bool
	body     []byte
}

// send sends the request until the server has answered. The answer is lost if the connection breaks or the time is over: then nobody knows
// whether the server has done what was asked for, and only the key makes it safe to ask again.
func (c *client) send(ctx context.Context, r request) (*answer, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		answer, retryAfter, err := c.sendOnce(ctx, r)
		if err == nil {
			return answer, nil
		}
		if !isTemporary(err) || ctx.Err() != nil {
			return nil, err
		}
		if attempt == maxAttempts {
			return nil, fmt.Errorf("%s %s: tried %d times: %w", r.method, r.path, attempt, err)
		}
		// The server knows best. Without its word: a random time up to the pause, so that many clients do not come back all at once.
		wait := retryAfter
		if wait == 0 {
			wait = random(pause)
			pause = min(2*pause, longestPause)
		}
		fmt.Fprintf(os.Stderr, "%s %s: %v; the next try is in %v\n", r.method, r.path, err, wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *client) sendOnce(ctx context.Context, r request) (*answer, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, 0, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, &lostAnswer{err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, &lostAnswer{err}
	}
	if resp.StatusCode < 400 {
		replayed := resp.Header.Get("Idempotency-Replayed") == "true"
		return &answer{resp.StatusCode, replayed, body}, 0, nil
	}
	refusal := &problem{Status: resp.StatusCode}
	if json.Unmarshal(body, refusal) != nil {
		// It comes from a proxy between.
		refusal.Detail = strings.TrimSpace(string(body))
	}
	return nil, retryAfter(resp.Header), refusal
}

// lostAnswer: the server may have done what was asked for, or not.
type lostAnswer struct{ cause error }

func (l *lostAnswer) Error() string { return "no answer: " + l.cause.Error() }
func (l *lostAnswer) Unwrap() error { return l.cause }

// isTemporary says whether the same request may be answered otherwise a little later.
func isTemporary(err error) bool {
	var lost *lostAnswer
	if errors.As(err, &lost) {
		return true
	}
	var refusal *problem
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict:
		// The first request with this key is still under way.
		return refusal.Code == "idempotency_key_busy"
	default:
		return false
	}
}

// retryAfter is how long the server asks to wait, in seconds or until a date; 0 if it does not say.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && time.Until(at) > 0 {
		return time.Until(at)
	}
	return 0
}

// add adds one task. The key belongs to this addition alone; the answer says whether an earlier request has added the task.
func (c *client) add(ctx context.Context, key string, t newTask) (addedTask, bool, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return addedTask{}, false, err
	}
	var added addedTask
	answer, err := c.send(ctx, request{
		method: http.MethodPost, path: "/tasks", contentType: "application/json",
		key: key, body: body, timeout: requestTimeout,
	})
	if err == nil {
		err = json.Unmarshal(answer.body, &added)
	}
	if err != nil {
		return addedTask{}, false, err
	}
	return added, answer.replayed, nil
}

// addBatch adds tasks of one theme, all or none, as lines of JSON.
func (c *client) addBatch(ctx context.Context, key string, tasks []newTask) ([]addedTask, bool, error) {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines) // ends each value with a line break
	for _, t := range tasks {
		if err := encoder.Encode(t); err != nil {
			return nil, false, err
		}
	}
	answer, err := c.send(ctx, request{
		method: http.MethodPost, path: "/tasks/batch?theme=" + theme, contentType: "application/jsonl",
		key: key, body: lines.Bytes(), timeout: requestTimeout,
	})
	if err != nil {
		return nil, false, err
	}
	var added struct {
		Tasks []addedTask `json:"tasks"`
	}
	if err := json.Unmarshal(answer.body, &added); err != nil {
		return nil, false, err
	}
	if len(added.Tasks) != len(tasks) {
		return nil, false, fmt.Errorf("%d tasks were sent, and the answer has %d", len(tasks), len(added.Tasks))
	}
	return added.Tasks, answer.replayed, nil
}

// wait waits until the task has ended, or ctx.
func (c *client) wait(ctx context.Context, id int64) (task, error) {
	path := fmt.Sprintf("/tasks/%d/wait?wait_ms=%d", id, waitPerRequest.Milliseconds())
	for {
		answer, err := c.send(ctx, request{method: http.MethodGet, path: path, timeout: waitPerRequest + requestTimeout})
		if err != nil {
			return task{}, err
		}
		if answer.status == http.StatusAccepted {
			continue // it has not ended yet
		}
		var ended task
		err = json.Unmarshal(answer.body, &ended)
		return ended, err
	}
}

// newKey makes a key at random. A program that may be restarted between two tries takes a key that it finds again, such as the id of the
// message that it handles.
func newKey() (string, error) {
	bytes := make([]byte, 16)
	_, err := rand.Read(bytes)
	return hex.EncodeToString(bytes), err
}

// random is a time between half of the longest and the longest.
func random(longest time.Duration) time.Duration {
	half := longest / 2
	n, err := rand.Int(rand.Reader, big.NewInt(int64(half)))
	if err != nil {
		return longest
	}
	return half + time.Duration(n.Int64())
}

func min(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func run(ctx context.Context) error {
	c := &client{
		url:   strings.TrimSuffix(env("GAIA_URL", "http://localhost:8080/gaia/api/v1"), "/"),
		token: os.Getenv("GAIA_TOKEN"),
	}
	confirm := func(name string) newTask {
		// Order 1: confirming it twice is the same as once.
		return newTask{Service: "OrderService", Method: "ConfirmOrder", Name: name, Args: 1}
	}
	one := confirm("from Go")
	one.Theme = theme
	batch := []newTask{confirm("from Go, 1 of 3"), confirm("from Go, 2 of 3"), confirm("from Go, 3 of 3")}

	oneKey, err := newKey()
	if err != nil {
		return err
	}
	batchKey, err := newKey()
	if err != nil {
		return err
	}
	added, _, err := c.add(ctx, oneKey, one)
	if err != nil {
		return err
	}
	fmt.Printf("added task %d\n", added.ID)
	list, _, err := c.addBatch(ctx, batchKey, batch)
	if err != nil {
		return err
	}
	fmt.Printf("added %d tasks, the first is %d\n", len(list), list[0].ID)

	// Once more, as if the answers had been lost: the same tasks, and no further ones.
	again, replayed, err := c.add(ctx, oneKey, one)
	if err != nil {
		return err
	}
	if again != added || !replayed {
		return fmt.Errorf("the repeated request has added another task: %v and %v", added, again)
	}
	listAgain, replayed, err := c.addBatch(ctx, batchKey, batch)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(listAgain, list) || !replayed {
		return fmt.Errorf("the repeated request has added other tasks: %v and %v", list, listAgain)
	}

	ended, err := c.wait(ctx, added.ID)
	if err != nil {
		return err
	}
	if ended.Status != "Success" {
		return fmt.Errorf("task %d is %s: %s", ended.ID, ended.Status, ended.LastError)
	}
	fmt.Printf("task %d has ended: %s\n", ended.ID, ended.LastResult)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}
