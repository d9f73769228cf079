package gaia

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	secret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	patience    = 20 * time.Second
)

// ---- Service -------------------------------------------------------------------------------------------------------------------------

func call(t *testing.T, service *Service, path, body string, headers map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	return w
}

func newService(t *testing.T, secrets ...string) *Service {
	t.Helper()
	service, err := NewService(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func TestAnswersOfAService(t *testing.T) {
	token := map[string]string{"gaia-run-token": "t1"}
	for _, c := range []struct {
		name    string
		headers map[string]string
		result  any
		err     error
		status  int
		body    string
		retry   string
	}{
		{name: "a result", result: map[string]int{"order_id": 17}, status: 200, body: `{"order_id":17}`},
		{name: "no result", status: 200, body: `null`},
		{name: "an error", err: errors.New("no stock"), status: 500, body: `{"error":"no stock"}`},
		{name: "a discard", err: Discard(errors.New("no such item")), status: 422, body: `{"discard":true,"error":"no such item"}`},
		{name: "a wrapped discard", err: fmt.Errorf("order 1: %w", Discard(errors.New("no item"))), status: 422, body: `{"discard":true,"error":"order 1: no item"}`},
		{name: "a snooze", err: Snooze(1500 * time.Millisecond), status: 503, body: `{"error":"run again in 1.5s"}`, retry: "2"},
		{name: "parked", headers: token, err: Park(time.Minute), status: 202, body: `{"lease_ms":60000}`},
		{name: "parked without a lease", headers: token, err: Park(0), status: 202, body: `{}`},
		{name: "a parked job", err: Park(time.Minute), status: 500, body: `{"error":"the call has no gaia-run-token: only a task can be parked, not the run of a job"}`},
		{name: "a result that is no JSON", result: func() {}, status: 422,
			body: `{"discard":true,"error":"the result of M cannot be written as JSON: json: unsupported type: func()"}`},
		{name: "text that is no UTF-8", err: errors.New("a\xffb"), status: 500, body: "{\"error\":\"a\uFFFDb\"}"},
	} {
		service := newService(t)
		service.Handle("M", func(context.Context, *Call) (any, error) { return c.result, c.err })
		w := call(t, service, "/orders/M", "null", c.headers)
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Retry-After") != c.retry {
			t.Errorf("%s: %d %s, Retry-After %q; expected %d %s, %q", c.name, w.Code, w.Body, w.Header().Get("Retry-After"), c.status, c.body, c.retry)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: the content type is %q", c.name, got)
		}
	}
}

func TestACallHasWhatTheHeadersSay(t *testing.T) {
	service := newService(t)
	var got *Call
	service.Handle("a/b ü", func(_ context.Context, call *Call) (any, error) { got = call; return nil, nil })
	w := call(t, service, "/orders/a%2Fb%20%C3%BC", `{"item":"tea"}`, map[string]string{
		"gaia-task-id": "17", "gaia-theme": "%E8%AE%A2%E5%8D%95 100%25", "gaia-attempt": "2", "gaia-max-attempts": "4", "gaia-log-id": "c1-17",
		"gaia-deadline": "2026-01-01T00:00:30Z", "gaia-run-token": "t1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
	if w.Code != 200 || got.TaskID != 17 || got.Theme != "订单 100%" || got.Attempt != 2 || got.MaxAttempts != 4 || got.LogID != "c1-17" ||
		got.Token != "t1" || !got.Deadline.Equal(time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)) || got.Traceparent == "" || got.Run() != nil {
		t.Fatalf("%d %+v", w.Code, got)
	}
	var order struct{ Item string }
	if err := got.Decode(&order); err != nil || order.Item != "tea" {
		t.Fatal(order, err)
	}
	var discard *discarded
	if err := got.Decode(&[]int{}); !errors.As(err, &discard) {
		t.Fatal("arguments that do not fit are no discard:", err)
	}

	call(t, service, "/orders/a%2Fb%20%C3%BC", "null", map[string]string{
		"gaia-run-id": "5", "gaia-job": "nightly", "gaia-scheduled-at": "2026-01-01T02:30:00Z", "gaia-attempt": "1", "gaia-log-id": "j1"})
	if got.RunID != 5 || got.Job != "nightly" || !got.ScheduledAt.Equal(time.Date(2026, 1, 1, 2, 30, 0, 0, time.UTC)) || got.TaskID != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatAServiceRefuses(t *testing.T) {
	var logged bytes.Buffer
	service := newService(t)
	service.MaxBody = 10
	service.Logger = log.New(&logged, "", 0)
	service.Handle("M", func(context.Context, *Call) (any, error) { panic("boom") })
	if w := call(t, service, "/orders/N", "null", nil); w.Code != 404 || strings.Contains(w.Body.String(), "discard") {
		t.Error("an unknown method:", w.Code, w.Body)
	}
	if w := call(t, service, "/orders/M", `"0123456789"`, nil); w.Code != 413 || !strings.Contains(w.Body.String(), `"discard":true`) {
		t.Error("a long body:", w.Code, w.Body)
	}
	if w := call(t, service, "/orders/M", "null", nil); w.Code != 500 || w.Body.String() != `{"error":"panic: boom"}` || !strings.Contains(logged.String(), "gaia_test.go") {
		t.Error("a panic:", w.Code, w.Body, logged.String())
	}
	w := httptest.NewRecorder()
	service.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders/M", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Error("a GET:", w.Code, w.Header())
	}
	for _, bad := range []string{"hunter2hunter2", "whsec_AAAA", "whsec_äöü"} {
		if _, err := NewService(bad); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("the secret %q: %v", bad, err)
		}
	}
}

func sign(secret, id string, at time.Time, body string) string {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestSignatures(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := sign(secret, "c1-17", now, "1")
	for _, c := range []struct {
		name, signature, id, logID, body string
		at                               time.Time
		secrets                          []string
		status                           int
	}{
		{"a good one", good, "c1-17", "c1-17", "1", now, []string{secret}, 200},
		{"one of several", "v1,AAAA v1a,BBBB garbage " + good, "c1-17", "c1-17", "1", now, []string{secret}, 200},
		{"by the second of two secrets", good, "c1-17", "c1-17", "1", now, []string{otherSecret, secret}, 200},
		{"by another secret", good, "c1-17", "c1-17", "1", now, []string{otherSecret}, 401},
		{"another body", good, "c1-17", "c1-17", "2", now, []string{secret}, 401},
		{"another id", good, "c1-18", "c1-18", "1", now, []string{secret}, 401},
		{"another log id than the signed one", good, "c1-17", "c1-18", "1", now, []string{secret}, 401},
		{"of another version", strings.Replace(good, "v1,", "v2,", 1), "c1-17", "c1-17", "1", now, []string{secret}, 401},
		{"none", "", "c1-17", "c1-17", "1", now, []string{secret}, 401},
		{"at the limit of time", sign(secret, "i", now.Add(-5*time.Minute), "1"), "i", "", "1", now.Add(-5 * time.Minute), []string{secret}, 200},
		{"too old", sign(secret, "i", now.Add(-301*time.Second), "1"), "i", "", "1", now.Add(-301 * time.Second), []string{secret}, 401},
		{"from the future", sign(secret, "i", now.Add(301*time.Second), "1"), "i", "", "1", now.Add(301 * time.Second), []string{secret}, 401},
		{"no secret is set", "", "", "c1-17", "1", now, nil, 200},
	} {
		service := newService(t, c.secrets...)
		service.now = func() time.Time { return now }
		ran := false
		service.Handle("M", func(context.Context, *Call) (any, error) { ran = true; return nil, nil })
		w := call(t, service, "/M", c.body, map[string]string{
			"webhook-id": c.id, "webhook-timestamp": strconv.FormatInt(c.at.Unix(), 10), "webhook-signature": c.signature, "gaia-log-id": c.logID})
		if w.Code != c.status || ran != (c.status == 200) {
			t.Errorf("%s: %d %s, ran %v", c.name, w.Code, w.Body, ran)
		}
	}
}

func TestNothingButAResultIsASuccess(t *testing.T) {
	service := newService(t)
	service.Handle("M", func(ctx context.Context, _ *Call) (any, error) { return nil, ctx.Err() })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := httptest.NewRecorder()
	service.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/M", strings.NewReader("null")).WithContext(ctx))
	if w.Code != 500 || w.Body.String() != `{"error":"context canceled"}` {
		t.Error("a call whose context is over:", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	service.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/M", cutOff{}))
	if w.Code != 400 {
		t.Error("a body that breaks off:", w.Code, w.Body)
	}
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAClosedConnectionCancelsTheCall(t *testing.T) {
	service := newService(t)
	started, stopped := make(chan struct{}), make(chan struct{})
	service.Handle("M", func(ctx context.Context, _ *Call) (any, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nil, ctx.Err()
	})
	server := httptest.NewServer(service)
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/M", strings.NewReader("null"))
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
	}()
	await(t, started)
	cancel()
	await(t, stopped)
}

// ---- the server of the tests ---------------------------------------------------------------------------------------------------------

// fake is a server of the contract with tasks in memory. It has no leases: a test says what is cancelled and lost.
type fake struct {
	*httptest.Server
	t *testing.T

	mutex    sync.Mutex
	changed  *sync.Cond
	leaseMS  int64
	tasks    []map[string]any
	claimed  map[string]int64 // tokens, until their end
	states   map[string]string
	ends     []sentEnd
	beats    map[string]int
	requests map[string]int
	counts   []int
	// answers may answer a request in place of the server; nil: it does not.
	answers func(path string, runs []map[string]any) http.HandlerFunc
}

type sentEnd struct {
	Path string
	ID   int64
	Body map[string]any
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, leaseMS: 30_000, claimed: map[string]int64{}, states: map[string]string{}, beats: map[string]int{}, requests: map[string]int{}}
	f.changed = sync.NewCond(&f.mutex)
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) client() *Client {
	client, err := NewClient(f.URL+"/api/v1", "secret-token")
	if err != nil {
		f.t.Fatal(err)
	}
	return client
}

func (f *fake) addTasks(method string, count int, more map[string]any) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for i := 0; i < count; i++ {
		id := len(f.tasks) + len(f.claimed) + len(f.ends) + 1
		task := map[string]any{"token": fmt.Sprint("t", id), "id": id, "theme": "orders", "service": "OrderService", "method": method,
			"args": id, "attempt": 1, "max_attempts": 4, "log_id": fmt.Sprint("l", id), "timeout_ms": nil, "traceparent": nil}
		for key, value := range more {
			task[key] = value
		}
		f.tasks = append(f.tasks, task)
	}
	f.changed.Broadcast()
}

func (f *fake) set(token, state string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.states[token] = state
}

func (f *fake) answerBy(answers func(path string, runs []map[string]any) http.HandlerFunc) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.answers = answers
}

// waitFor waits until the condition holds, which is asked after each request.
func (f *fake) waitFor(what string, holds func() bool) {
	f.t.Helper()
	late := time.AfterFunc(patience, func() { f.mutex.Lock(); f.changed.Broadcast(); f.mutex.Unlock() })
	defer late.Stop()
	until := time.Now().Add(patience)
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for !holds() {
		if time.Now().After(until) {
			f.t.Fatalf("waited %v for %s; requests %v, ends %v", patience, what, f.requests, f.ends)
		}
		f.changed.Wait()
	}
}

func problem(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status": %d, "code": %q, "detail": "by the test"}`, status, code)
	}
}

func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, "<html>by a proxy</html>")
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var sent struct {
		Runs   []map[string]any
		Count  int
		WaitMS int64 `json:"wait_ms"`
	}
	_ = json.Unmarshal(body, &sent)
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")

	f.mutex.Lock()
	defer f.mutex.Unlock()
	defer f.changed.Broadcast()
	f.requests[path]++
	if r.Header.Get("Authorization") != "Bearer secret-token" {
		problem(401, "no_access")(w, r)
		return
	}
	if f.answers != nil {
		if answer := f.answers(path, sent.Runs); answer != nil {
			answer(w, r)
			return
		}
	}
	switch path {
	case "/claims":
		f.claim(w, sent.Count, time.Duration(sent.WaitMS)*time.Millisecond)
	default:
		states := []map[string]any{}
		lost := 0
		for _, run := range sent.Runs {
			state := f.state(path, run)
			if state["state"] == "lost" {
				lost++
			}
			states = append(states, state)
		}
		if lost == len(states) {
			problem(409, "run_lost")(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"runs": states})
	}
}

func (f *fake) claim(w http.ResponseWriter, count int, wait time.Duration) {
	late := time.AfterFunc(wait, func() { f.mutex.Lock(); f.changed.Broadcast(); f.mutex.Unlock() })
	defer late.Stop()
	until := time.Now().Add(wait)
	for len(f.tasks) == 0 && time.Now().Before(until) {
		f.changed.Wait()
	}
	if count > len(f.tasks) {
		count = len(f.tasks)
	}
	given := f.tasks[:count]
	f.tasks = f.tasks[count:]
	for _, task := range given {
		f.claimed[task["token"].(string)] = int64(task["id"].(int))
	}
	f.counts = append(f.counts, count)
	_ = json.NewEncoder(w).Encode(map[string]any{"worker": "remote:w", "lease_ms": f.leaseMS, "tasks": append([]map[string]any{}, given...)})
}

func (f *fake) state(path string, run map[string]any) map[string]any {
	token := run["token"].(string)
	id, held := f.claimed[token]
	state := f.states[token]
	switch {
	case !held || state == "lost":
		return map[string]any{"id": id, "state": "lost"}
	case path == "/claims/beat":
		f.beats[token]++
	case path != "/claims/progress" && path != "/claims/log":
		delete(f.claimed, token)
		f.ends = append(f.ends, sentEnd{path, id, run})
		return map[string]any{"id": id, "state": "written"}
	}
	if state == "" {
		state = "held"
	}
	return map[string]any{"id": id, "state": state}
}

func await[T any](t *testing.T, channel <-chan T) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(patience):
		t.Fatalf("waited %v in vain", patience)
		panic("unreachable")
	}
}

// ---- Client and Run ------------------------------------------------------------------------------------------------------------------

func TestATaskIsAddedOnceAlthoughAnswersAreLost(t *testing.T) {
	var keys, bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		keys, bodies = append(keys, r.Header.Get("Idempotency-Key")), append(bodies, string(body))
		switch len(keys) {
		case 1:
			hangUp(w, r)
		case 2:
			problem(503, "database_unreachable")(w, r)
		case 3:
			problem(409, "idempotency_key_busy")(w, r)
		default:
			w.Header().Set("Idempotency-Replayed", "true")
			w.WriteHeader(201)
			fmt.Fprint(w, `{"id": 17, "duplicate": false}`)
		}
	}))
	defer server.Close()
	var logged bytes.Buffer
	client, err := NewClient(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	client.Logger = log.New(&logged, "", 0)
	task := NewTask{Service: "OrderService", Method: "AsyncCreateOrder", Args: map[string]int{"amount": 2}, After: []int64{3, 4}}
	added, err := client.Add(context.Background(), "orders", "", task)
	if err != nil || added.ID != 17 || !added.Replayed {
		t.Fatal(added, err)
	}
	if len(keys) != 4 || keys[0] == "" || keys[0] != keys[3] || bodies[0] != bodies[3] || strings.Count(logged.String(), "next try") != 3 {
		t.Fatal(keys, bodies, logged.String())
	}
	if expected := `{"theme":"orders","service":"OrderService","method":"AsyncCreateOrder","args":{"amount":2},"after":[3,4]}` + "\n"; bodies[0] != expected {
		t.Fatal(bodies[0])
	}
}

func TestABatchAndAWait(t *testing.T) {
	waits := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/tasks/batch" && r.URL.Query().Get("theme") == "a&b" && r.Header.Get("Content-Type") == "application/jsonl":
			fmt.Fprint(w, `{"tasks": [{"id": 1, "duplicate": false}, {"id": 2, "duplicate": true}]}`)
		case r.URL.Path == "/tasks/1/wait":
			if waits++; waits == 1 {
				w.WriteHeader(202)
			}
			fmt.Fprint(w, `{"id": 1, "status": "Success", "last_result": {"n": 12345678901234567890}}`)
		default:
			problem(404, "route_not_found")(w, r)
		}
	}))
	defer server.Close()
	client, _ := NewClient(server.URL, "")
	ctx := context.Background()
	added, err := client.AddBatch(ctx, "a&b", "key", []NewTask{{Service: "S", Method: "M"}, {Service: "S", Method: "M"}})
	if err != nil || len(added) != 2 || !added[1].Duplicate {
		t.Fatal(added, err)
	}
	if _, err := client.AddBatch(ctx, "a&b", "key", []NewTask{{}}); err == nil {
		t.Fatal("an answer of another length was taken")
	}
	task, err := client.WaitFor(ctx, 1)
	if err != nil || task.Status != "Success" || string(task.LastResult) != `{"n": 12345678901234567890}` || waits != 2 {
		t.Fatal(task, err, waits)
	}
	var refusal *Refusal
	if _, err := client.WaitFor(ctx, 3); !errors.As(err, &refusal) || refusal.Status != 404 || !strings.Contains(err.Error(), "/api/v1") {
		t.Fatal(err)
	}
}

func TestAClientFollowsNoRedirectAndGivesUpWithItsContext(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token went elsewhere") }))
	defer elsewhere.Close()
	tried := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tasks" {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		tried <- struct{}{}
		w.Header().Set("Retry-After", "30")
		problem(503, "stopped")(w, r)
	}))
	defer server.Close()
	client, _ := NewClient(server.URL, "token")
	if _, err := client.Add(context.Background(), "t", "", NewTask{}); err == nil || !strings.Contains(err.Error(), "307") {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() { result <- client.Run("t1").Beat(ctx) }()
	await(t, tried)
	cancel()
	if err := await(t, result); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "jobs.example", "ftp://jobs.example", "http://"} {
		if _, err := NewClient(bad, ""); err == nil {
			t.Errorf("the URL %q was taken", bad)
		}
	}
}

func TestAClientUsesNoHTTP2(t *testing.T) {
	protocols := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.Proto
		fmt.Fprint(w, `{"id": 17}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client, err := NewClient(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	transport := client.http.Transport.(*http.Transport)
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	transport.ForceAttemptHTTP2 = true // as without TLSClientConfig
	if _, err := client.Add(context.Background(), "t", "", NewTask{}); err != nil {
		t.Fatal(err)
	}
	if protocol := await(t, protocols); protocol != "HTTP/1.1" {
		t.Fatal(protocol)
	}
}

func TestASlowLinkGetsMoreTime(t *testing.T) {
	const silence = 500 * time.Millisecond
	requests := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r.URL.Path
		body, _ := io.ReadAll(r.Body)
		if len(body) > 10_000 {
			time.Sleep(2 * silence) // as if the body had come slowly
		}
		for _, part := range strings.SplitAfter(`{"id": 17, "status": "Success"}`, ",") {
			fmt.Fprint(w, part, strings.Repeat(" ", 10))
			w.(http.Flusher).Flush()
			time.Sleep(3 * silence / 5)
		}
	}))
	defer server.Close()
	client, _ := NewClient(server.URL, "")
	client.silence = silence
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if added, err := client.Add(ctx, "t", "", NewTask{}); err != nil || added.ID != 17 {
		t.Fatal("an answer that comes slowly:", added, err)
	}
	if added, err := client.Add(ctx, "t", "", NewTask{Args: strings.Repeat("a", 32<<10)}); err != nil || added.ID != 17 {
		t.Fatal("a long request:", added, err)
	}
	if len(requests) != 2 {
		t.Fatal("the requests were sent again:", len(requests))
	}
	client.silence = time.Millisecond
	if _, _, err := client.sendOnce(ctx, request{method: http.MethodPost, path: "/tasks", body: []byte("1")}); err == nil || !strings.Contains(err.Error(), "silent") {
		t.Fatal("a server that is silent:", err)
	}
}

func TestAParkedRun(t *testing.T) {
	f := newFake(t)
	for i := 1; i <= 6; i++ {
		f.claimed[fmt.Sprint("p", i)] = int64(i)
	}
	client, ctx := f.client(), context.Background()
	run := client.Run("p1")
	for what, err := range map[string]error{
		"beat": run.Beat(ctx), "progress": run.Progress(ctx, 40, "packing"),
		"log": run.Log(ctx, Line{Level: "info", Message: "one"}, Line{Level: "warn", Message: "two", Time: time.Unix(0, 0).UTC()}), "no lines": run.Log(ctx),
	} {
		if err != nil {
			t.Error(what, err)
		}
	}
	f.set("p1", "cancelled")
	if err := run.Beat(ctx); err != ErrCancelled {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"finish": run.Finish(ctx, map[string]int{"n": 1}), "fail": client.Run("p2").Fail(ctx, errors.New("no stock")),
		"discard": client.Run("p3").Fail(ctx, Discard(errors.New("no item"))), "snooze": client.Run("p4").Snooze(ctx, 1500*time.Millisecond),
		"release": client.Run("p5").Release(ctx, true),
	} {
		if err != nil {
			t.Error(what, err)
		}
	}
	bodies := map[int64]string{}
	for _, end := range f.ends {
		text, _ := json.Marshal(end.Body)
		bodies[end.ID] = end.Path + string(text)
	}
	for id, expected := range map[int64]string{
		1: `/claims/finish{"result":{"n":1},"token":"p1"}`, 2: `/claims/fail{"discard":false,"error":"no stock","token":"p2"}`,
		3: `/claims/fail{"discard":true,"error":"no item","token":"p3"}`, 4: `/claims/snooze{"delay_ms":1500,"token":"p4"}`,
		5: `/claims/release{"started":true,"token":"p5"}`,
	} {
		if bodies[id] != expected {
			t.Errorf("%s; expected %s", bodies[id], expected)
		}
	}
	var lost *LostError
	if err := run.Finish(ctx, nil); !errors.As(err, &lost) || lost.Resent {
		t.Error("a second end:", err)
	}

}

func TestALostEndMayHaveBeenWritten(t *testing.T) {
	stored := func(what string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			fmt.Fprintf(w, `{"status": 503, "code": "database_connection_lost", "detail": "by the test", "stored": %q}`, what)
		}
	}
	for name, c := range map[string]struct {
		first  http.HandlerFunc
		resent bool
	}{
		"no answer": {hangUp, true}, "502": {page(502), true}, "504": {page(504), true}, "503": {page(503), true}, "503 unknown": {stored("unknown"), true},
		"503 not stored": {stored("no"), false}, "429": {problem(429, "too_many_requests"), false}, "408": {problem(408, "body_too_slow"), false},
	} {
		name, c := name, c
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.answerBy(func(string, []map[string]any) http.HandlerFunc { f.answers = nil; return c.first })
			var lost *LostError
			if err := f.client().Run("p1").Finish(context.Background(), nil); !errors.As(err, &lost) || lost.Resent != c.resent {
				t.Error(err)
			}
		})
	}
}

func TestKeepBeatsUntilTheRunIsCancelled(t *testing.T) {
	f := newFake(t)
	f.claimed["p1"] = 1
	kept, stop := f.client().Run("p1").Keep(context.Background(), 60*time.Millisecond)
	defer stop()
	f.waitFor("two beats", func() bool { return f.beats["p1"] >= 2 })
	if kept.Err() != nil {
		t.Fatal("the run is held, and its context is over")
	}
	f.set("p1", "cancelled")
	await(t, kept.Done())
}

func TestKeepGoesOnAfterOddAnswers(t *testing.T) {
	f := newFake(t)
	f.claimed["p1"] = 1
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	odd := []http.HandlerFunc{problem(500, "internal"), page(404), page(200), silent, hangUp}
	f.answerBy(func(path string, _ []map[string]any) http.HandlerFunc {
		if len(odd) == 0 {
			return nil
		}
		answer := odd[0]
		odd = odd[1:]
		return answer
	})
	kept, stop := f.client().Run("p1").Keep(context.Background(), 300*time.Millisecond)
	defer stop()
	f.waitFor("a beat", func() bool { return f.beats["p1"] >= 1 })
	if kept.Err() != nil {
		t.Fatal("the run is held, and its context is over")
	}
	f.answerBy(func(string, []map[string]any) http.HandlerFunc { return problem(401, "no_access") })
	await(t, kept.Done())
}

func TestNobodyBeatsForARunWithoutALease(t *testing.T) {
	f := newFake(t)
	f.claimed["p1"] = 1
	client := f.client()
	transport, beats := client.http.Transport, int64(0)
	client.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/beat") {
			atomic.AddInt64(&beats, 1)
		}
		return transport.RoundTrip(r)
	})
	run := client.Run("p1")
	kept, stop := run.Keep(context.Background(), 0)
	defer stop()
	for i := 0; i < 20; i++ {
		if err := run.Progress(kept, i, "packing"); err != nil {
			t.Fatal(err)
		}
	}
	if tried := atomic.LoadInt64(&beats); tried != 0 {
		t.Fatal("beats that were tried:", tried)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// ---- Worker --------------------------------------------------------------------------------------------------------------------------

type running struct {
	*Worker
	stop   context.CancelFunc
	result chan error
}

func work(f *fake, handler Handler, settings func(*Worker)) *running {
	w := &Worker{Client: f.client(), Name: "w", Theme: "orders", Wait: 50 * time.Millisecond, Logger: log.New(testWriter{f.t}, "", log.Lmicroseconds)}
	w.Handle("OrderService", "AsyncCreateOrder", handler)
	if settings != nil {
		settings(w)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{w, stop, make(chan error, 1)}
	go func() { r.result <- w.Run(ctx) }()
	f.t.Cleanup(stop)
	return r
}

func (r *running) mustStop(t *testing.T) {
	t.Helper()
	r.stop()
	if err := await(t, r.result); err != nil {
		t.Fatal(err)
	}
}

func TestAWorkerRunsTasksAndSendsEndsTogether(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 1000, nil)
	most, now, mutex := 0, 0, sync.Mutex{}
	w := work(f, func(_ context.Context, call *Call) (any, error) {
		mutex.Lock()
		now++
		if now > most {
			most = now
		}
		mutex.Unlock()
		defer func() { mutex.Lock(); now--; mutex.Unlock() }()
		var id int64
		if err := call.Decode(&id); err != nil || id != call.TaskID || call.Service != "OrderService" || call.Theme != "orders" || call.MaxAttempts != 4 {
			return nil, fmt.Errorf("the call is %+v: %v", call, err)
		}
		return id * 2, nil
	}, func(w *Worker) { w.Concurrency, w.Batch = 20, 100 })
	f.waitFor("1000 ends", func() bool { return len(f.ends) == 1000 })
	w.mustStop(t)
	seen := map[int64]bool{}
	for _, end := range f.ends {
		if end.Path != "/claims/finish" || end.Body["result"] != float64(2*end.ID) || seen[end.ID] {
			t.Fatalf("%+v", end)
		}
		seen[end.ID] = true
	}
	if most > 20 || f.requests["/claims/finish"] > 500 {
		t.Fatalf("%d at once, %d requests for 1000 ends", most, f.requests["/claims/finish"])
	}
	for _, count := range f.counts {
		if count > 100 {
			t.Fatalf("%d tasks were claimed at once", count)
		}
	}
}

func TestEndsOfAWorker(t *testing.T) {
	f := newFake(t)
	for _, text := range []string{"fine", "fail", "discard", "snooze", "park", "panic", "exit", "snooze for ever"} {
		f.addTasks("AsyncCreateOrder", 1, map[string]any{"args": text})
	}
	f.addTasks("AsyncCreateOrder", 1, map[string]any{"args": nil, "args_text": "{no JSON"})
	f.addTasks("Unknown", 1, nil)
	w := work(f, func(ctx context.Context, call *Call) (any, error) {
		var what string
		if err := call.Decode(&what); err != nil {
			return nil, err
		}
		switch what {
		case "fail":
			return nil, errors.New("no stock")
		case "discard":
			return nil, Discard(errors.New("no item"))
		case "snooze":
			return nil, Snooze(2 * time.Second)
		case "park":
			return nil, Park(time.Minute)
		case "panic":
			panic("boom")
		case "exit":
			runtime.Goexit()
		case "snooze for ever":
			return nil, Snooze(math.MaxInt64)
		}
		if err := call.Run().Progress(ctx, 50, "half"); err != nil {
			return nil, err
		}
		return nil, call.Run().Log(ctx, Line{Level: "info", Message: "done"})
	}, nil)
	f.waitFor("10 ends", func() bool { return len(f.ends) == 10 })
	w.mustStop(t)
	for _, end := range f.ends {
		text, _ := json.Marshal(end.Body)
		expected := map[int64]string{
			1: `/claims/finish{"result":null`, 2: `/claims/fail{"discard":false,"error":"no stock"`, 3: `/claims/fail{"discard":true,"error":"no item"`,
			4: `/claims/snooze{"delay_ms":2000`, 5: `/claims/fail{"discard":false,"error":"a pulled run cannot be parked`,
			6: `/claims/fail{"discard":false,"error":"panic: boom"`, 7: `/claims/fail{"discard":false,"error":"the handler has ended its goroutine"`,
			8: `/claims/snooze{"delay_ms":3153600000000`, 9: `/claims/fail{"discard":true,"error":"the arguments of AsyncCreateOrder do not fit`,
			10: `/claims/fail{"discard":false,"error":"this worker has no such method"`,
		}[end.ID]
		if got := end.Path + string(text); !strings.HasPrefix(got, expected) {
			t.Errorf("%d: %s; expected %s", end.ID, got, expected)
		}
	}
	if f.requests["/claims/progress"] != 1 || f.requests["/claims/log"] != 1 {
		t.Error(f.requests)
	}
}

func TestACancelledRunIsReleasedAndALostOneIsDropped(t *testing.T) {
	f := newFake(t)
	f.leaseMS = 300
	f.addTasks("AsyncCreateOrder", 3, nil)
	started, stopped := make(chan int64, 3), make(chan int64, 3)
	finish := make(chan struct{})
	w := work(f, func(ctx context.Context, call *Call) (any, error) {
		started <- call.TaskID
		if call.TaskID == 3 {
			<-finish
			return "fine", nil
		}
		<-ctx.Done()
		stopped <- call.TaskID
		return nil, ctx.Err()
	}, nil)
	for i := 0; i < 3; i++ {
		await(t, started)
	}
	f.set("t1", "cancelled")
	f.set("t2", "lost")
	f.set("t3", "cancelled")
	await(t, stopped)
	await(t, stopped)
	f.waitFor("the release", func() bool { return len(f.ends) == 1 })
	f.waitFor("beats of the third run", func() bool { return f.beats["t3"] > 2 })
	close(finish)
	f.waitFor("the finish", func() bool { return len(f.ends) == 2 })
	w.mustStop(t)
	if end := f.ends[0]; end.ID != 1 || end.Path != "/claims/release" || end.Body["started"] != true {
		t.Errorf("%+v", end)
	}
	if end := f.ends[1]; end.ID != 3 || end.Path != "/claims/finish" {
		t.Errorf("a finish of a cancelled run counts: %+v", end)
	}
}

func TestATimeoutEndsTheContext(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 1, map[string]any{"timeout_ms": 50})
	w := work(f, func(ctx context.Context, call *Call) (any, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("%w, deadline known: %v", ctx.Err(), !call.Deadline.IsZero())
	}, nil)
	f.waitFor("the end", func() bool { return len(f.ends) == 1 })
	w.mustStop(t)
	if got := f.ends[0].Body["error"]; got != "context deadline exceeded, deadline known: true" {
		t.Error(got)
	}
}

func TestAHugeTimeoutIsNoTimeoutOfThePast(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 1, map[string]any{"timeout_ms": int64(math.MaxInt64)})
	w := work(f, func(ctx context.Context, call *Call) (any, error) {
		return call.Deadline.After(time.Now().AddDate(90, 0, 0)), ctx.Err()
	}, nil)
	f.waitFor("the end", func() bool { return len(f.ends) == 1 })
	w.mustStop(t)
	if end := f.ends[0]; end.Path != "/claims/finish" || end.Body["result"] != true {
		t.Errorf("%+v", end)
	}
}

func TestEndsAreKeptWhileTheServerIsAway(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 5, nil)
	refused := 0
	f.answerBy(func(path string, _ []map[string]any) http.HandlerFunc {
		if path != "/claims/finish" || refused == 3 {
			return nil
		}
		if refused++; refused == 2 {
			return problem(503, "database_unreachable")
		}
		return hangUp
	})
	w := work(f, func(context.Context, *Call) (any, error) { return nil, nil }, nil)
	f.waitFor("5 ends", func() bool { return len(f.ends) == 5 })
	w.mustStop(t)
}

func TestAResultOutlivesAnOddAnswer(t *testing.T) {
	for name, odd := range map[string]http.HandlerFunc{
		"408": problem(408, "body_too_slow"), "400": problem(400, "body_lost"), "500": problem(500, "database_error"),
		"404": page(404), "520": page(520), "200": page(200),
	} {
		name, odd := name, odd
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.addTasks("AsyncCreateOrder", 1, nil)
			f.answerBy(func(path string, _ []map[string]any) http.HandlerFunc {
				if path == "/claims/finish" && f.requests[path] == 1 {
					return odd
				}
				return nil
			})
			w := work(f, func(context.Context, *Call) (any, error) { return "good", nil }, nil)
			f.waitFor("the end", func() bool { return len(f.ends) == 1 })
			w.mustStop(t)
			if end := f.ends[0]; end.Path != "/claims/finish" || end.Body["result"] != "good" {
				t.Errorf("%+v", end)
			}
		})
	}
}

func TestAnEndThatAlwaysGetsAnOddAnswerIsDroppedAndKeepsNoOtherBack(t *testing.T) {
	f := newFake(t)
	f.leaseMS = 1000
	f.addTasks("AsyncCreateOrder", 5, nil)
	refused := 0
	f.answerBy(func(path string, runs []map[string]any) http.HandlerFunc {
		for _, run := range runs {
			if path == "/claims/finish" && run["token"] == "t3" {
				refused++
				return problem(500, "internal")
			}
		}
		return nil
	})
	w := work(f, func(context.Context, *Call) (any, error) { return "good", nil }, func(w *Worker) { w.Grace = patience })
	f.waitFor("4 ends, and a refused end of task 3", func() bool { return len(f.ends) == 4 && refused > 0 })
	w.mustStop(t)
	if len(f.claimed) != 1 {
		t.Error(f.ends)
	}
}

func TestEndsThatDoNotGetThroughGoInSmallerGroups(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 10, nil)
	f.answerBy(func(path string, runs []map[string]any) http.HandlerFunc {
		if path == "/claims/finish" && len(runs) > 2 {
			return hangUp
		}
		return nil
	})
	ready, gate := make(chan struct{}, 10), make(chan struct{})
	w := work(f, func(context.Context, *Call) (any, error) {
		ready <- struct{}{}
		<-gate
		return nil, nil
	}, nil)
	for i := 0; i < 10; i++ {
		await(t, ready)
	}
	close(gate)
	f.waitFor("10 ends", func() bool { return len(f.ends) == 10 })
	w.mustStop(t)
}

func TestLongEndsDoNotGoTogether(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 10, nil)
	longest := 0
	f.answerBy(func(path string, runs []map[string]any) http.HandlerFunc {
		bytes := 0
		for _, run := range runs {
			result, _ := run["result"].(string)
			bytes += len(result)
		}
		if bytes > longest {
			longest = bytes
		}
		return nil
	})
	ready, gate := make(chan struct{}, 10), make(chan struct{})
	w := work(f, func(context.Context, *Call) (any, error) {
		ready <- struct{}{}
		<-gate
		return strings.Repeat("a", 400_000), nil
	}, nil)
	for i := 0; i < 10; i++ {
		await(t, ready)
	}
	close(gate)
	f.waitFor("10 ends", func() bool { return len(f.ends) == 10 })
	w.mustStop(t)
	if longest > endBytesPerRequest || f.requests["/claims/finish"] == 10 {
		t.Fatal(longest, f.requests)
	}
}

func TestAWorkerGivesUpItsRunsWhenItsLeaseIsOver(t *testing.T) {
	f := newFake(t)
	f.leaseMS = 300
	f.addTasks("AsyncCreateOrder", 1, nil)
	f.answerBy(func(path string, _ []map[string]any) http.HandlerFunc {
		if path == "/claims/beat" {
			return hangUp
		}
		return nil
	})
	over := make(chan struct{})
	w := work(f, func(ctx context.Context, _ *Call) (any, error) {
		<-ctx.Done()
		close(over)
		return nil, nil
	}, nil)
	await(t, over)
	w.mustStop(t)
	if len(f.ends) != 0 {
		t.Error("an end was sent for a run whose lease is over:", f.ends)
	}
}

func TestARevokedTokenStopsTheWorker(t *testing.T) {
	f := newFake(t)
	f.leaseMS = 300
	f.addTasks("AsyncCreateOrder", 1, nil)
	started, stopped := make(chan struct{}), make(chan struct{})
	w := work(f, func(ctx context.Context, _ *Call) (any, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nil, ctx.Err()
	}, nil)
	await(t, started)
	f.answerBy(func(string, []map[string]any) http.HandlerFunc { return problem(401, "no_access") })
	await(t, stopped)
	var refusal *Refusal
	if err := await(t, w.result); !errors.As(err, &refusal) || refusal.Status != 401 || !strings.Contains(err.Error(), "Http.Access.Tokens") {
		t.Fatal(err)
	}
}

func TestAWorkerGoesOnAfterOddAnswersToItsQuestions(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 1, nil)
	odd := []http.HandlerFunc{page(404), problem(500, "internal"), page(520), page(200)}
	f.answerBy(func(path string, _ []map[string]any) http.HandlerFunc {
		if path != "/claims" || len(odd) == 0 {
			return nil
		}
		answer := odd[0]
		odd = odd[1:]
		return answer
	})
	w := work(f, func(context.Context, *Call) (any, error) { return nil, nil }, nil)
	f.waitFor("the end", func() bool { return len(f.ends) == 1 })
	w.mustStop(t)
}

func TestAWorkerWhoseQuestionIsRefusedEndsItsRuns(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 2, nil)
	started, finish := make(chan struct{}, 2), make(chan struct{})
	w := work(f, func(ctx context.Context, _ *Call) (any, error) {
		started <- struct{}{}
		<-finish
		return "done", ctx.Err()
	}, func(w *Worker) { w.Concurrency, w.Batch = 1, 3 })
	await(t, started)
	f.answerBy(func(path string, _ []map[string]any) http.HandlerFunc {
		if path == "/claims" {
			return problem(422, "invalid")
		}
		return nil
	})
	f.waitFor("the one that has not begun", func() bool { return len(f.ends) == 1 })
	close(finish)
	var refusal *Refusal
	if err := await(t, w.result); !errors.As(err, &refusal) || refusal.Status != 422 {
		t.Fatal(err)
	}
	if len(f.ends) != 2 || f.ends[0].Path != "/claims/release" || f.ends[1].Path != "/claims/finish" {
		t.Error(f.ends)
	}
}

func TestAStopLetsRunningTasksEnd(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 3, nil)
	started, finish := make(chan struct{}, 3), make(chan struct{})
	w := work(f, func(ctx context.Context, _ *Call) (any, error) {
		started <- struct{}{}
		<-finish
		return "done", ctx.Err()
	}, func(w *Worker) { w.Concurrency, w.Batch, w.Wait = 1, 3, time.Millisecond })
	await(t, started)
	w.stop()
	f.waitFor("the two that have not begun", func() bool { return len(f.ends) == 2 })
	close(finish)
	if err := await(t, w.result); err != nil {
		t.Fatal(err)
	}
	for i, end := range f.ends {
		if i < 2 && (end.Path != "/claims/release" || end.Body["started"] != false) || i == 2 && (end.Path != "/claims/finish" || end.Body["result"] != "done") {
			t.Errorf("%d: %+v", i, end)
		}
	}
	if len(f.ends) != 3 || len(f.tasks) != 0 {
		t.Error(f.ends, f.tasks)
	}
}

func TestAStopHandsBackWhatDoesNotEndWithinTheGrace(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 3, nil)
	started, never := make(chan struct{}, 3), make(chan struct{})
	defer close(never)
	w := work(f, func(ctx context.Context, call *Call) (any, error) {
		started <- struct{}{}
		<-ctx.Done()
		switch call.TaskID {
		case 1:
			<-never // a handler that does not listen
		case 2:
			return nil, Discard(errors.New("no item"))
		}
		return nil, ctx.Err()
	}, func(w *Worker) { w.Grace, w.Wait = 10*time.Millisecond, time.Millisecond })
	for i := 0; i < 3; i++ {
		await(t, started)
	}
	w.mustStop(t)
	paths := map[int64]string{}
	for _, end := range f.ends {
		paths[end.ID] = fmt.Sprint(end.Path, end.Body["started"])
	}
	if fmt.Sprint(paths) != "map[1:/claims/releasetrue 2:/claims/fail<nil> 3:/claims/releasetrue]" {
		t.Error(paths)
	}
}

func TestAResultThatTheServerRefusesFailsItsTaskAlone(t *testing.T) {
	f := newFake(t)
	f.addTasks("AsyncCreateOrder", 5, nil)
	f.answerBy(func(path string, runs []map[string]any) http.HandlerFunc {
		for _, run := range runs {
			if path == "/claims/finish" && run["result"] == "bad" {
				return problem(413, "body_too_long")
			}
		}
		return nil
	})
	gate := make(chan struct{})
	ready := make(chan struct{}, 5)
	w := work(f, func(_ context.Context, call *Call) (any, error) {
		ready <- struct{}{}
		<-gate
		if call.TaskID == 3 {
			return "bad", nil
		}
		return "good", nil
	}, nil)
	for i := 0; i < 5; i++ {
		await(t, ready)
	}
	close(gate)
	f.waitFor("5 ends", func() bool { return len(f.ends) == 5 })
	w.mustStop(t)
	for _, end := range f.ends {
		if bad := end.ID == 3; bad != (end.Path == "/claims/fail") || bad && end.Body["discard"] != true {
			t.Errorf("%+v", end)
		}
	}
}

func TestAWorkerThatCannotWorkSaysSo(t *testing.T) {
	client := newFake(t).client()
	handle := func(w *Worker) *Worker { w.Handle("S", "M", nil); return w }
	for _, w := range []*Worker{
		handle(&Worker{Name: "w", Theme: "t"}), handle(&Worker{Client: client, Theme: "t"}), handle(&Worker{Client: client, Name: "w"}),
		{Client: client, Name: "w", Theme: "t"}, handle(&Worker{Client: client, Name: "w", Theme: "t", Lease: time.Millisecond}),
		handle(&Worker{Client: client, Name: "w", Theme: "t", Concurrency: -1}),
	} {
		if err := w.Run(context.Background()); err == nil {
			t.Errorf("%+v runs", w)
		}
	}
}

// testWriter shows the log of a worker with the test that fails.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}
