// Package gaia lets programs in Go work for a server of gaia-actors, such as gaia serve, and add tasks to it.
//
// A program works in one of two ways, with the same handlers:
//
//   - It is called: a Service is an http.Handler, and the server posts each call to it. The configuration of the server names its URL.
//   - It asks: a Worker claims tasks through the HTTP API. Nobody needs to reach it, so it may stand behind a firewall.
//
// A task runs at least once. If a process dies after a handler's work and before its end is stored, the task runs again: a handler must do
// no harm the second time. Call.LogID names the run, Call.TaskID the task.
//
// The package needs the standard library alone, and is one file: copy it, or use the module.
package gaia

import (
	"bytes"
	"context"
	"crypto/hmac"
	crypto "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/url"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// DefaultMaxBody is the longest body that a Service takes, in bytes: 16 MiB.
	DefaultMaxBody = 16 << 20
	// DefaultLease is the time after which the server takes a silent Worker for dead.
	DefaultLease = 30 * time.Second
	// DefaultConcurrency is how many tasks of a Worker run at the same time.
	DefaultConcurrency = 10
	// DefaultWait is how long the server keeps a Worker's question open while no task is due.
	DefaultWait = 5 * time.Second
	// DefaultGrace is how long a Worker that stops waits for its running tasks.
	DefaultGrace = 10 * time.Second

	// How far the clocks of the server and of a service may differ, by the rules of Standard Webhooks.
	clockTolerance = 5 * time.Minute
	// How long the server may be silent, before its answer counts as lost.
	requestTimeout = 15 * time.Second
	// The pauses between two sendings of one request: they double, from the first to the longest.
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
	// A request gets more time by its length: a link may be so slow, in bytes per second.
	slowestLink = 32 << 10
	// How many ends of runs, and of about how many bytes, and how many beats, go into one request.
	endsPerRequest     = 100
	endBytesPerRequest = 1 << 20
	beatsPerRequest    = 1000
	// How long handlers whose context was cancelled at the end of the grace may take to return.
	lastCall = time.Second
	// A longer timeout or snooze counts as this one, so that times stay within what Go can count.
	longestDelay = 100 * 365 * 24 * time.Hour
	// The longest text of an error that is sent, in bytes.
	maxErrorText = 16 << 10
)

// Handler does the work of one call. Its result becomes the result of the task, as JSON.
//
// An error is a failed attempt, and the server tries the task again while attempts are left. Discard, Snooze and Park return errors that
// mean something else. A panic is a failed attempt, too. When ctx is over, the run has been cancelled, is out of time, or belongs to another
// worker: the handler should return soon.
type Handler func(ctx context.Context, call *Call) (any, error)

// Call is one call of a method: an attempt of a task, or of the run of a job.
type Call struct {
	// Service is the name of the service. It is empty in a call to a Service, whose URL stands for the name.
	Service string
	Method  string
	// Args are the arguments as JSON. Decode reads them.
	Args json.RawMessage
	// Attempt counts from 1. A snooze uses no attempt.
	Attempt, MaxAttempts int
	// LogID names this run, and no other.
	LogID string
	// Deadline is the time at which the server ends the run, by the server's clock in a Service; zero if the run may take any time.
	// The context of a Service has no deadline, because clocks differ: the server closes the connection when the time is over.
	Deadline time.Time
	// Traceparent is the trace of the W3C's Trace Context to which the call belongs, or empty.
	Traceparent string

	// TaskID, Theme and Token belong to a task. The token is the right to end the run: keep it secret, and store it if the run is parked.
	TaskID int64
	Theme  string
	Token  string

	// RunID, Job and ScheduledAt belong to the run of a job.
	RunID       int64
	Job         string
	ScheduledAt time.Time

	run *Run
}

// Decode reads the arguments into v. Arguments that do not fit are the same at every attempt, so the error is one of Discard.
func (c *Call) Decode(v any) error {
	if err := json.Unmarshal(c.Args, v); err != nil {
		return Discard(fmt.Errorf("the arguments of %s do not fit: %w", c.Method, err))
	}
	return nil
}

// Run is for reporting progress and log lines while a Worker's handler works. It is nil in a call to a Service: such a run must be parked
// first, and then Client.Run(call.Token) gives the handle.
func (c *Call) Run() *Run { return c.run }

type discarded struct{ cause error }

func (d *discarded) Error() string { return d.cause.Error() }
func (d *discarded) Unwrap() error { return d.cause }

// Discard makes an error after which the task is not tried again: it is Failed.
func Discard(err error) error {
	if err == nil {
		err = errors.New("discarded")
	}
	return &discarded{err}
}

type snoozed struct{ delay time.Duration }

func (s *snoozed) Error() string { return fmt.Sprintf("run again in %v", s.delay) }

// Snooze makes an error after which the task runs again later, and no attempt is used. A Service can only say whole seconds, and rounds up.
// The run of a job cannot be put off: for a job it is a failed attempt.
func Snooze(delay time.Duration) error {
	if delay < 0 {
		delay = 0
	}
	if delay > longestDelay {
		delay = longestDelay
	}
	return &snoozed{delay}
}

type parked struct{ lease time.Duration }

func (p *parked) Error() string { return "parked" }

// Park makes an error by which a Service says that it goes on with the task after its answer, and will end it by Client.Run(call.Token). The
// connection is free, and the run survives a restart of the server and of the service.
//
// The service beats at least once in each lease (1 s to 24 h), else the run is lost. With the lease 0 nobody has to beat: the run is kept until
// its deadline, or for 24 hours. Neither jobs nor a Worker can park: a Worker's handler may take as long as it likes.
func Park(lease time.Duration) error { return &parked{lease} }

// LostError says that the run belongs to this program no longer: its lease or its time is over, or it has an end. Nothing that is sent for it counts.
type LostError struct {
	// TaskID is 0 if the server has not said it.
	TaskID int64
	// Resent: an earlier sending of the same end has got no answer, or an error of the server, so the end may well have been written.
	Resent bool
}

func (l *LostError) Error() string {
	if l.Resent {
		return "the run has an end already, which may be the one that was sent before, or it is lost"
	}
	return "the run is lost: its lease or its time is over, or it has an end already"
}

// ErrCancelled says that a caller has asked to cancel the task. Stop, and then Run.Release it. A Run.Finish still counts.
var ErrCancelled = errors.New("a caller has asked to cancel the task")

// Refusal is an answer of the server that says no.
type Refusal struct {
	// Status is the status of HTTP.
	Status int
	// Code is a word that stays the same from version to version. It is empty if a proxy has answered.
	Code   string
	Detail string
	// Stored is "no" if the server says that nothing has been changed, "unknown" if it does not know, and empty in other answers.
	Stored string
}

func (r *Refusal) Error() string {
	said := fmt.Sprintf("the server refuses with %d %s: %s", r.Status, r.Code, r.Detail)
	switch r.Status {
	case http.StatusUnauthorized:
		return said + "; the server knows no such token: see that Http.Access.Tokens of its configuration has the token's SHA-256, and that the client has the token itself"
	case http.StatusForbidden:
		return said + "; see that the token has the permission (work for workers, enqueue for producers) and the theme, in Http.Access.Tokens"
	case http.StatusNotFound:
		if r.Code == "" || r.Code == "route_not_found" {
			return said + "; see that the URL of the client ends with /api/v1"
		}
	}
	return said
}

// ---- Service: a program that is called -----------------------------------------------------------------------------------------------

// Service answers the calls that the server posts to its URL. It is an http.Handler: mount it at the path that the configuration names.
//
//	service, err := gaia.NewService(os.Getenv("ORDERS_SECRET"))
//	service.Handle("AsyncCreateOrder", createOrder)
//	http.Handle("/orders/", service) // "Services": {"OrderService": {"Url": "https://…/orders", "Secret": "whsec_…"}}
//
// For a graceful stop call http.Server.Shutdown, which waits for the calls that are under way. A call that is cut off is tried again.
type Service struct {
	// MaxBody is the longest body in bytes; 0 stands for DefaultMaxBody. A longer one is discarded.
	MaxBody int64
	// Logger gets the stacks of panics and refused signatures; nil: nothing is logged.
	Logger *log.Logger

	keys     [][]byte
	mutex    sync.RWMutex
	handlers map[string]Handler
	now      func() time.Time
}

// NewService makes a service. The secrets have the form whsec_<base64> of Standard Webhooks; a call must be signed with one of them. Two
// are for the time in which one takes the place of the other. Without any, or with empty ones, signatures are not checked: then let nobody
// else reach the service.
func NewService(secrets ...string) (*Service, error) {
	s := &Service{handlers: map[string]Handler{}, now: time.Now}
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "="))
		if err != nil || len(key) < 24 || len(key) > 64 {
			return nil, errors.New("gaia: a secret is not as expected: whsec_ and 24 to 64 random bytes in base64")
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

// Handle sets the handler of a method. It may be called while the service runs.
func (s *Service) Handle(method string, handler Handler) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.handlers[method] = handler
}

// ServeHTTP answers one call. The method is the last segment of the path. A method without a handler is answered with 404, which the server
// tries again: a newer version of the service may know it.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answerError(w, http.StatusMethodNotAllowed, "calls are POST requests", false)
		return
	}
	limit := s.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			answerError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the arguments are longer than %d bytes, which the service allows", limit), true)
			return
		}
		answerError(w, http.StatusBadRequest, "the body has been cut off", false)
		return
	}
	if fault := s.verify(r.Header, body); fault != "" {
		s.log("gaia: a call was refused: %s", fault)
		answerError(w, http.StatusUnauthorized, fault, false)
		return
	}
	path := r.URL.EscapedPath()
	method, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		answerError(w, http.StatusBadRequest, "the path is not percent-encoded", false)
		return
	}
	s.mutex.RLock()
	handler := s.handlers[method]
	s.mutex.RUnlock()
	if handler == nil {
		answerError(w, http.StatusNotFound, fmt.Sprintf("this service has no method %q", method), false)
		return
	}
	result, err := invoke(r.Context(), handler, callOf(method, r.Header, body), s.log)
	answer(w, result, err, r.Header.Get("gaia-run-token") != "")
}

func (s *Service) log(format string, args ...any) {
	if s.Logger != nil {
		s.Logger.Printf(format, args...)
	}
}

// verify says what is wrong with the signature; "": nothing.
func (s *Service) verify(header http.Header, body []byte) string {
	if len(s.keys) == 0 {
		return ""
	}
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if id == "" || timestamp == "" || header.Get("webhook-signature") == "" {
		return "the call is not signed: expected webhook-id, webhook-timestamp and webhook-signature; set the Secret of the service in the server's configuration"
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return "webhook-timestamp is no number of seconds"
	}
	if away := s.now().Sub(time.Unix(seconds, 0)); away > clockTolerance || away < -clockTolerance {
		return fmt.Sprintf("webhook-timestamp is more than %v away from this machine's clock: set the clocks right", clockTolerance)
	}
	if logID := header.Get("gaia-log-id"); logID != "" && logID != id {
		return "gaia-log-id is not the id that was signed"
	}
	message := append([]byte(id+"."+timestamp+"."), body...)
	for _, signature := range strings.Fields(header.Get("webhook-signature")) {
		given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,"))
		if err != nil || !strings.HasPrefix(signature, "v1,") {
			continue // of another version
		}
		for _, key := range s.keys {
			mac := hmac.New(sha256.New, key)
			mac.Write(message)
			if hmac.Equal(mac.Sum(nil), given) {
				return ""
			}
		}
	}
	return "no signature of the call fits: the server and the service have different secrets, or the call was changed on its way"
}

func callOf(method string, header http.Header, body []byte) *Call {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(header.Get(name), 10, 64)
		return n
	}
	moment := func(name string) time.Time {
		at, _ := time.Parse(time.RFC3339, header.Get(name))
		return at
	}
	name := func(field string) string { // percent-encoded, since a header is ASCII
		text := header.Get(field)
		if decoded, err := url.PathUnescape(text); err == nil {
			return decoded
		}
		return text
	}
	return &Call{
		Method: method, Args: body,
		Attempt: int(number("gaia-attempt")), MaxAttempts: int(number("gaia-max-attempts")),
		LogID: header.Get("gaia-log-id"), Deadline: moment("gaia-deadline"), Traceparent: header.Get("traceparent"),
		TaskID: number("gaia-task-id"), Theme: name("gaia-theme"), Token: header.Get("gaia-run-token"),
		RunID: number("gaia-run-id"), Job: name("gaia-job"), ScheduledAt: moment("gaia-scheduled-at"),
	}
}

// invoke calls a handler. A panic becomes an error.
func invoke(ctx context.Context, handler Handler, call *Call, logf func(string, ...any)) (result json.RawMessage, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			logf("gaia: %s panicked: %v\n%s", call.Method, panicked, debug.Stack())
			result, err = nil, fmt.Errorf("panic: %v", panicked)
		}
	}()
	value, err := handler(ctx, call)
	if err != nil {
		return nil, err
	}
	result, err = json.Marshal(value)
	if err != nil {
		return nil, Discard(fmt.Errorf("the result of %s cannot be written as JSON: %w", call.Method, err))
	}
	return result, nil
}

// answer writes what a handler has returned, as the server reads it.
func answer(w http.ResponseWriter, result json.RawMessage, err error, mayPark bool) {
	var discard *discarded
	var snooze *snoozed
	var park *parked
	switch {
	case err == nil:
		answerJSON(w, http.StatusOK, result)
	case errors.As(err, &park) && mayPark:
		body := map[string]int64{}
		if park.lease > 0 {
			body["lease_ms"] = park.lease.Milliseconds()
		}
		answerJSON(w, http.StatusAccepted, body)
	case errors.As(err, &park):
		answerError(w, http.StatusInternalServerError, "the call has no gaia-run-token: only a task can be parked, not the run of a job", false)
	case errors.As(err, &snooze):
		seconds := (snooze.delay + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
		answerError(w, http.StatusServiceUnavailable, err.Error(), false)
	case errors.As(err, &discard):
		answerError(w, http.StatusUnprocessableEntity, err.Error(), true)
	default:
		answerError(w, http.StatusInternalServerError, err.Error(), false)
	}
}

func answerError(w http.ResponseWriter, status int, text string, discard bool) {
	body := map[string]any{"error": errorText(text)}
	if discard {
		body["discard"] = true
	}
	answerJSON(w, status, body)
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a caller that has gone tries again
}

// errorText is valid UTF-8 of a length that the server takes.
func errorText(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxErrorText {
		return text
	}
	end := maxErrorText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + " …"
}

// ---- Client: requests to the HTTP API ------------------------------------------------------------------------------------------------

// Client asks the HTTP API of the server. It may be used by many goroutines.
//
// A request whose answer is lost, or that the server cannot answer at the moment (408, 429, 502, 503, 504), is sent again, after the time that
// the server names or after growing pauses of up to 30 s, until ctx is over.
type Client struct {
	// Logger gets a line for each request that is sent again; nil: nothing is logged.
	Logger *log.Logger

	base    string
	token   string
	http    *http.Client
	silence time.Duration // how long the server may be silent
}

// NewClient makes a client for the API at a URL such as https://jobs.example/gaia/api/v1. An empty token is for a server that gives access to
// its own machine.
func NewClient(baseURL, token string) (*Client, error) {
	parsed, err := url.Parse(baseURL)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return nil, fmt.Errorf("gaia: %q is no URL of an API; expected one such as https://jobs.example/api/v1", baseURL)
	}
	// The empty TLSNextProto leaves HTTP/2 out: all requests would go over one connection, and after it has died, time out one by one.
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 32, IdleConnTimeout: 60 * time.Second,
	}
	// A redirect would send a POST as a GET, or the token elsewhere.
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base: strings.TrimRight(baseURL, "/"), token: token, silence: requestTimeout,
		http: &http.Client{Transport: transport, CheckRedirect: noRedirects},
	}, nil
}

// NewTask is a task to be added. Zero values stand for the defaults of the server.
type NewTask struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	// Args is written as JSON.
	Args any `json:"args"`
	// Name is what people see in lists.
	Name string `json:"name,omitempty"`
	// MaxRetry is how often the task is tried again; nil: 3.
	MaxRetry *int `json:"max_retry,omitempty"`
	Priority int  `json:"priority,omitempty"`
	// After are ids of tasks for which this one waits: it runs once they have succeeded, and is cancelled if one of them does not. Not for
	// AddBatch.
	After []int64 `json:"after,omitempty"`
	// RunAt is the time before which the task does not run.
	RunAt *time.Time `json:"run_at,omitempty"`
	// TimeoutMS is the longest time of one attempt, in milliseconds.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// UniqueKey: while a task of the theme with this key has not ended, no further one is added.
	UniqueKey string `json:"unique_key,omitempty"`
	// LimitKey: for whom the task works, such as a tenant. A limit of the method may hold for each key.
	LimitKey    string `json:"limit_key,omitempty"`
	Traceparent string `json:"traceparent,omitempty"`
}

// Added says what became of an addition.
type Added struct {
	ID int64 `json:"id"`
	// Duplicate: an unfinished task has the same unique key, and ID is the id of that task.
	Duplicate bool `json:"duplicate"`
	// Replayed: an earlier request with the same idempotency key has added the task.
	Replayed bool `json:"-"`
}

// Task has what a producer may want to know of a task.
type Task struct {
	ID     int64  `json:"id"`
	Status string `json:"status"`
	// LastResult is JSON. It stays text, so that no number in it is rounded.
	LastResult json.RawMessage `json:"last_result"`
	LastError  string          `json:"last_error"`
}

// Add adds a task to a theme, once: each sending of the request has the same idempotency key. A program that may be restarted before it has
// the answer gives a key that it finds again, such as the id of the message that it handles; "" stands for a key made at random.
func (c *Client) Add(ctx context.Context, theme, key string, task NewTask) (Added, error) {
	body := struct {
		Theme string `json:"theme"`
		NewTask
	}{theme, task}
	var added Added
	answer, err := c.add(ctx, "/tasks", "application/json", key, &added, body)
	added.Replayed = answer.replayed
	return added, err
}

// AddBatch adds tasks to a theme, all or none of them, and once, as Add.
func (c *Client) AddBatch(ctx context.Context, theme, key string, tasks []NewTask) ([]Added, error) {
	bodies := make([]any, len(tasks))
	for i, task := range tasks {
		bodies[i] = task
	}
	var list struct{ Tasks []Added }
	answer, err := c.add(ctx, "/tasks/batch?theme="+url.QueryEscape(theme), "application/jsonl", key, &list, bodies...)
	if err == nil && len(list.Tasks) != len(tasks) {
		err = fmt.Errorf("gaia: %d tasks were sent, and the answer has %d", len(tasks), len(list.Tasks))
	}
	for i := range list.Tasks {
		list.Tasks[i].Replayed = answer.replayed
	}
	return list.Tasks, err
}

func (c *Client) add(ctx context.Context, path, contentType, key string, into any, bodies ...any) (reply, error) {
	if key == "" {
		random := make([]byte, 16)
		if _, err := crypto.Read(random); err != nil {
			return reply{}, err
		}
		key = hex.EncodeToString(random)
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines) // ends each value with a line break
	for _, body := range bodies {
		if err := encoder.Encode(body); err != nil {
			return reply{}, err
		}
	}
	answer, err := c.send(ctx, request{method: http.MethodPost, path: path, contentType: contentType, key: key, body: lines.Bytes()})
	if err == nil {
		err = json.Unmarshal(answer.body, into)
	}
	return answer, err
}

// WaitFor waits until the task has ended, or ctx. The token needs the permission view.
func (c *Client) WaitFor(ctx context.Context, id int64) (Task, error) {
	const wait = 20 * time.Second
	path := fmt.Sprintf("/tasks/%d/wait?wait_ms=%d", id, wait.Milliseconds())
	for {
		answer, err := c.send(ctx, request{method: http.MethodGet, path: path, wait: wait})
		if err != nil {
			return Task{}, err
		}
		if answer.status == http.StatusAccepted {
			continue // it has not ended yet
		}
		var task Task
		err = json.Unmarshal(answer.body, &task)
		return task, err
	}
}

type request struct {
	method, path, contentType, key string
	body                           []byte
	wait                           time.Duration // how long the server may wait on purpose
}

type reply struct {
	status   int
	replayed bool
	resent   bool // an earlier sending may have done what was asked for
	body     []byte
}

// lostAnswer: the server may have done what was asked for, or not.
type lostAnswer struct{ cause error }

func (l *lostAnswer) Error() string { return "no answer: " + l.cause.Error() }
func (l *lostAnswer) Unwrap() error { return l.cause }

// send sends the request until the server has answered it, or ctx is over.
func (c *Client) send(ctx context.Context, r request) (reply, error) {
	var pauses backoff
	resent := false
	for {
		answer, retryAfter, err := c.sendOnce(ctx, r)
		answer.resent = resent
		if err == nil || !isTemporary(err) || ctx.Err() != nil {
			return answer, err
		}
		resent = resent || mayBeDone(err)
		pause := pauses.next(retryAfter)
		if c.Logger != nil {
			c.Logger.Printf("%s %s: %v; the next try is in %v", r.method, r.path, err, pause.Round(time.Millisecond))
		}
		if !sleep(ctx, pause) {
			return answer, fmt.Errorf("%s %s: %w; the last try: %v", r.method, r.path, ctx.Err(), err)
		}
	}
}

// sendOnce sends the request once. The time until the answer begins depends on what is sent, and then the server may not fall silent: a long
// answer may take as long as it comes.
func (c *Client) sendOnce(ctx context.Context, r request) (reply, time.Duration, error) {
	inTime, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := time.AfterFunc(r.wait+c.silence+time.Duration(len(r.body))*time.Second/slowestLink, cancel)
	defer limit.Stop()
	lost := func(err error) (reply, time.Duration, error) {
		if inTime.Err() != nil && ctx.Err() == nil {
			err = errors.New("the server has been silent for too long")
		}
		return reply{}, 0, &lostAnswer{err}
	}
	req, err := http.NewRequestWithContext(inTime, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return reply{}, 0, err
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
		return lost(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(tellingReader{resp.Body, func() { limit.Reset(c.silence) }})
	if err != nil {
		return lost(err)
	}
	if resp.StatusCode < 300 {
		return reply{status: resp.StatusCode, replayed: resp.Header.Get("Idempotency-Replayed") == "true", body: body}, 0, nil
	}
	refusal := &Refusal{}
	if json.Unmarshal(body, refusal) != nil || refusal.Code == "" {
		// It comes from a proxy between.
		refusal.Detail = errorText(strings.TrimSpace(string(body)))
	}
	refusal.Status = resp.StatusCode
	return reply{}, retryAfter(resp.Header), refusal
}

// mayBeDone says whether the server may have done what was asked for, although it has not said so: no answer has come, or one that says nothing of
// it, such as the page of a proxy in place of the answer.
func mayBeDone(err error) bool {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return true
	}
	return refusal.Status >= 500 && refusal.Stored != "no"
}

// tellingReader tells of each part that has been read.
type tellingReader struct {
	io.Reader
	tell func()
}

func (r tellingReader) Read(into []byte) (int, error) {
	n, err := r.Reader.Read(into)
	if n > 0 {
		r.tell()
	}
	return n, err
}

// isTemporary says whether the same request may be answered otherwise a little later.
func isTemporary(err error) bool {
	var lost *lostAnswer
	if errors.As(err, &lost) {
		return true
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusBadRequest:
		return refusal.Code == "body_lost" // on its way to the server
	case http.StatusConflict:
		return refusal.Code == "idempotency_key_busy" // the first request with this key is still under way
	}
	return false
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

// backoff gives the pauses between tries. They are random, so that many clients do not come back all at once.
type backoff struct{ longest time.Duration }

func (b *backoff) next(asked time.Duration) time.Duration {
	b.longest *= 2
	if b.longest < firstPause {
		b.longest = firstPause
	}
	if b.longest > longestPause {
		b.longest = longestPause
	}
	if asked > longestPause {
		asked = longestPause // a clock may be wrong
	}
	if asked > 0 {
		return asked
	}
	return b.longest/2 + time.Duration(rand.Int63n(int64(b.longest/2)+1))
}

// sleep says whether the time is over before ctx.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ---- Run: what is sent for one run ---------------------------------------------------------------------------------------------------

// Run is the handle of a run that this program holds: of a parked one, or of a Worker's. It may be used by many goroutines.
//
// Its methods send their requests until they are answered or ctx is over. They return a *LostError if the run is lost.
type Run struct {
	client *Client
	token  string
}

// Run gives the handle of a run by its token, which may come from Call.Token or from a database in which the service has stored it.
func (c *Client) Run(token string) *Run { return &Run{c, token} }

// Line is a log line of a run.
type Line struct {
	// Level is error, warn, info, debug or trace.
	Level   string `json:"level"`
	Message string `json:"message"`
	// Time of zero: the time at which the server gets the line.
	Time time.Time `json:"time"`
}

// MarshalJSON leaves a zero time out.
func (l Line) MarshalJSON() ([]byte, error) {
	line := map[string]any{"level": l.Level, "message": l.Message}
	if !l.Time.IsZero() {
		line["time"] = l.Time
	}
	return json.Marshal(line)
}

// Beat renews the lease. It returns ErrCancelled if a caller has asked to cancel the task.
func (r *Run) Beat(ctx context.Context) error { return r.report(ctx, "/claims/beat", fields{}) }

// Progress tells how far the work is, in percent, with a note for people. It returns ErrCancelled as Beat does.
func (r *Run) Progress(ctx context.Context, percent int, note string) error {
	return r.report(ctx, "/claims/progress", fields{"percent": percent, "note": note})
}

// Log keeps lines with the run. It returns ErrCancelled as Beat does.
func (r *Run) Log(ctx context.Context, lines ...Line) error {
	if len(lines) == 0 {
		return nil
	}
	return r.report(ctx, "/claims/log", fields{"lines": lines})
}

// Finish ends the run: the task is Success with this result.
func (r *Run) Finish(ctx context.Context, result any) error {
	return r.end(ctx, "/claims/finish", fields{"result": result})
}

// Fail ends the run with an error, and the task is tried again while attempts are left. An error of Discard or Snooze means what it means when
// a handler returns it.
func (r *Run) Fail(ctx context.Context, err error) error {
	if err == nil {
		err = errors.New("failed")
	}
	path, body := endOf(nil, err)
	return r.end(ctx, path, body)
}

// Snooze ends the run; the task runs again later, and no attempt is used.
func (r *Run) Snooze(ctx context.Context, delay time.Duration) error {
	return r.Fail(ctx, Snooze(delay))
}

// Release hands the task back, and no attempt is used. started says whether the work had begun. A task that a caller has asked to cancel
// becomes Cancelled.
func (r *Run) Release(ctx context.Context, started bool) error {
	return r.end(ctx, "/claims/release", fields{"started": started})
}

// Keep beats every third of the lease in the background, and more often after a failure, until stop is called. The context is over when the run
// is cancelled or lost, when the server takes the token no longer, or when ctx is over: then stop the work and call Release. With the lease 0
// nobody has to beat, and Keep does not.
func (r *Run) Keep(ctx context.Context, lease time.Duration) (kept context.Context, stop context.CancelFunc) {
	kept, stop = context.WithCancel(ctx)
	if lease <= 0 {
		return kept, stop
	}
	go func() {
		defer stop()
		var pauses backoff
		for pause := lease / 3; sleep(kept, pause); {
			state, retryAfter, err := r.beatOnce(kept, lease/3)
			pause = lease / 3
			switch {
			case state == stateCancelled, state == stateLost, isForbidden(err):
				return
			case err == nil:
				pauses = backoff{}
			default:
				if sooner := pauses.next(retryAfter); sooner < pause {
					pause = sooner
				}
			}
		}
	}()
	return kept, stop
}

func (r *Run) beatOnce(ctx context.Context, timeout time.Duration) (state string, retryAfter time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	states, retryAfter, err := r.client.postRunsOnce(ctx, "/claims/beat", []fields{{"token": r.token}})
	if err != nil {
		return "", retryAfter, err
	}
	return states[0].State, 0, nil
}

type fields map[string]any

// size is about how many bytes they are as JSON.
func (f fields) size() int {
	result, _ := f["result"].(json.RawMessage)
	text, _ := f["error"].(string)
	return len(result) + len(text) + 200
}

// endOf is the request by which a run ends that has this outcome.
func endOf(result json.RawMessage, err error) (path string, body fields) {
	var discard *discarded
	var snooze *snoozed
	var park *parked
	switch {
	case err == nil:
		return "/claims/finish", fields{"result": result}
	case errors.As(err, &snooze):
		return "/claims/snooze", fields{"delay_ms": snooze.delay.Milliseconds()}
	case errors.As(err, &park):
		err = errors.New("a pulled run cannot be parked: its handler may take as long as it likes")
	}
	return "/claims/fail", fields{"error": errorText(err.Error()), "discard": errors.As(err, &discard)}
}

func (r *Run) report(ctx context.Context, path string, body fields) error {
	states, err := r.post(ctx, path, body)
	switch {
	case err != nil:
		return err
	case states[0].State == stateCancelled:
		return ErrCancelled
	}
	return nil
}

func (r *Run) end(ctx context.Context, path string, body fields) error {
	_, err := r.post(ctx, path, body)
	return err
}

func (r *Run) post(ctx context.Context, path string, body fields) ([]runState, error) {
	body["token"] = r.token
	states, resent, err := r.client.postRuns(ctx, path, []fields{body})
	if err == nil && states[0].State == stateLost {
		err = &LostError{TaskID: states[0].ID, Resent: resent}
	}
	return states, err
}

const (
	stateCancelled = "cancelled"
	stateLost      = "lost"
)

type runState struct {
	ID    int64  `json:"id"`
	State string `json:"state"`
}

// postRuns asks for a change of runs; the answer has their states in the same order.
func (c *Client) postRuns(ctx context.Context, path string, runs []fields) (states []runState, resent bool, err error) {
	r, err := runsRequest(path, runs)
	if err != nil {
		return nil, false, err
	}
	answer, err := c.send(ctx, r)
	states, err = statesOf(answer, err, len(runs))
	return states, answer.resent, err
}

// postRunsOnce is postRuns with one sending.
func (c *Client) postRunsOnce(ctx context.Context, path string, runs []fields) (states []runState, retryAfter time.Duration, err error) {
	r, err := runsRequest(path, runs)
	if err != nil {
		return nil, 0, err
	}
	answer, retryAfter, err := c.sendOnce(ctx, r)
	states, err = statesOf(answer, err, len(runs))
	return states, retryAfter, err
}

func runsRequest(path string, runs []fields) (request, error) {
	body, err := json.Marshal(map[string]any{"runs": runs})
	return request{method: http.MethodPost, path: path, contentType: "application/json", body: body}, err
}

// statesOf reads the answer to a request about runs. If all of them are lost, the answer is a refusal.
func statesOf(answer reply, err error, runs int) ([]runState, error) {
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Code == "run_lost" {
		states := make([]runState, runs)
		for i := range states {
			states[i].State = stateLost
		}
		return states, nil
	}
	if err != nil {
		return nil, err
	}
	var list struct{ Runs []runState }
	if err := json.Unmarshal(answer.body, &list); err != nil {
		return nil, fmt.Errorf("gaia: the answer of the server is no JSON as expected: %w", err)
	}
	if len(list.Runs) != runs {
		return nil, fmt.Errorf("gaia: %d runs were named, and the answer has %d", runs, len(list.Runs))
	}
	return list.Runs, nil
}

// ---- Worker: a program that asks for tasks -------------------------------------------------------------------------------------------

// Worker claims tasks of one theme, runs them, and tells the server how they end. It needs a token with the permission work.
//
//	client, err := gaia.NewClient("https://jobs.example/api/v1", os.Getenv("ORDERS_TOKEN"))
//	worker := &gaia.Worker{Client: client, Name: "orders-1", Theme: "orders", Concurrency: 20}
//	worker.Handle("OrderService", "AsyncCreateOrder", createOrder)
//	err = worker.Run(ctx)
//
// Set the fields and the handlers before Run. Zero values stand for the defaults.
type Worker struct {
	Client *Client
	// Name is what people see as the node of a task: remote:Name. Two workers of one name do no harm.
	Name  string
	Theme string
	// Concurrency is how many tasks run at the same time; 0: DefaultConcurrency.
	Concurrency int
	// Batch is how many tasks one request claims at most, up to 1000; 0: as many as Concurrency. With a greater Batch than Concurrency, tasks
	// wait in this process, and other workers do not get them.
	Batch int
	// Lease is the time after which the server takes the worker for dead, if it hears nothing: 1 s to 1 h; 0: DefaultLease. The worker
	// beats every third of it.
	Lease time.Duration
	// Wait is how long the server keeps a question open while no task is due, up to 60 s; 0: DefaultWait. A stop waits for the
	// answer.
	Wait time.Duration
	// Grace is how long a stop waits for the end of tasks that run; 0: DefaultGrace.
	Grace time.Duration
	// Logger gets lost runs, failures of the server, and the stacks of panics; nil: nothing is logged.
	Logger *log.Logger

	handlers map[methodName]Handler
}

type methodName struct {
	Service string `json:"service"`
	Method  string `json:"method"`
}

// Handle sets the handler of a method. The worker claims tasks of the methods that have handlers.
func (w *Worker) Handle(service, method string, handler Handler) {
	if w.handlers == nil {
		w.handlers = map[methodName]Handler{}
	}
	w.handlers[methodName{service, method}] = handler
}

// Run works until ctx is over, and then stops: it claims nothing more, waits for the running tasks as long as Grace says, cancels the rest, and
// hands back what has not ended. While the server is away, Run waits for it; ends of runs are kept until their lease is over.
//
// The error is nil after a stop. Another error says what another try would not mend, such as a *Refusal because the token was revoked.
func (w *Worker) Run(ctx context.Context) error {
	s, err := w.begin()
	if err != nil {
		return err
	}
	working, halt := context.WithCancel(ctx)
	defer halt()
	s.halt = halt

	var background sync.WaitGroup
	background.Add(3)
	for _, each := range []func(){func() { s.claimUntil(working) }, s.beatAlways, s.sendEndsAlways} {
		each := each
		go func() { defer background.Done(); each() }()
	}
	<-working.Done()
	s.stop()
	background.Wait()
	return s.fatal
}

// session is one Run of a worker.
type session struct {
	*Worker
	methods  []methodName
	capacity int
	slots    chan struct{}      // one value for each task that runs
	stopping chan struct{}      // closed: nothing begins any more
	halt     context.CancelFunc // begins the stop
	requests context.Context    // of beats and ends
	giveUp   context.CancelFunc
	polls    context.Context // of claims
	hangUp   context.CancelFunc

	mutex   sync.Mutex
	changed chan struct{} // closed, and replaced, when one of these has changed
	lease   time.Duration
	polling bool
	held    map[*heldRun]struct{}
	active  int        // held runs that have no end
	ended   []*heldRun // whose ends are to be sent
	group   int        // how many ends go into one request at most
	fatal   error
	barred  bool // the server refuses whatever this worker sends
}

// heldRun is a run that this worker holds, until the server has taken its end.
type heldRun struct {
	call    *Call
	handler Handler
	ctx     context.Context
	cancel  context.CancelFunc
	until   time.Time // the end of the lease
	stopped bool      // a caller has cancelled the task, or this worker stops
	lost    bool
	path    string // of the end, or empty
	end     fields
	unsure  bool      // the end may have been written
	alone   bool      // not with others in a request
	giveUp  time.Time // when an end is dropped that gets odd answers alone; zero: it has got none
}

func (w *Worker) begin() (*session, error) {
	s := &session{
		Worker: w, stopping: make(chan struct{}), changed: make(chan struct{}), held: map[*heldRun]struct{}{},
		polling: true, group: endsPerRequest,
	}
	settings := *w
	s.Worker = &settings
	for _, each := range []struct {
		field     *time.Duration
		otherwise time.Duration
	}{{&settings.Lease, DefaultLease}, {&settings.Wait, DefaultWait}, {&settings.Grace, DefaultGrace}} {
		if *each.field == 0 {
			*each.field = each.otherwise
		}
	}
	if settings.Concurrency == 0 {
		settings.Concurrency = DefaultConcurrency
	}
	if settings.Batch == 0 {
		settings.Batch = settings.Concurrency
	}
	if settings.Batch > 1000 {
		settings.Batch = 1000
	}
	switch {
	case w.Client == nil:
		return nil, errors.New("gaia: the worker has no Client")
	case w.Name == "" || w.Theme == "":
		return nil, errors.New("gaia: the worker needs a Name and a Theme")
	case len(w.handlers) == 0:
		return nil, errors.New("gaia: the worker has no handlers; call Handle before Run")
	case settings.Concurrency < 0 || settings.Batch < 0 || settings.Wait < 0 || settings.Grace < 0:
		return nil, errors.New("gaia: Concurrency, Batch, Wait and Grace of a worker cannot be negative")
	case settings.Lease < time.Second || settings.Lease > time.Hour:
		return nil, fmt.Errorf("gaia: the lease of a worker is %v; expected 1 s to 1 h", settings.Lease)
	}
	for name := range w.handlers {
		s.methods = append(s.methods, name)
	}
	sort.Slice(s.methods, func(i, j int) bool {
		a, b := s.methods[i], s.methods[j]
		return a.Service < b.Service || a.Service == b.Service && a.Method < b.Method
	})
	s.lease = settings.Lease
	s.capacity = settings.Concurrency
	if settings.Batch > s.capacity {
		s.capacity = settings.Batch
	}
	s.slots = make(chan struct{}, settings.Concurrency)
	s.requests, s.giveUp = context.WithCancel(context.Background())
	s.polls, s.hangUp = context.WithCancel(s.requests)
	return s, nil
}

func (s *session) log(format string, args ...any) {
	if s.Logger != nil {
		s.Logger.Printf(format, args...)
	}
}

// change makes a change, and wakes those who wait for one.
func (s *session) change(apply func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	apply()
	close(s.changed)
	s.changed = make(chan struct{})
}

// waitFor waits until the condition holds, and says whether it did so before ctx was over.
func (s *session) waitFor(ctx context.Context, holds func() bool) bool {
	for {
		s.mutex.Lock()
		held, changed := holds(), s.changed
		s.mutex.Unlock()
		if held {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// fail stops the worker because of a refusal that another try does not mend. If it may not speak to the server any more, it drops its runs.
func (s *session) fail(err error) {
	s.change(func() {
		if s.fatal == nil {
			s.fatal = err
		}
		if !isForbidden(err) {
			return
		}
		s.barred = true
		for run := range s.held {
			run.lost = true
			run.cancel()
			if run.path != "" {
				delete(s.held, run)
			}
		}
		s.ended = nil
	})
	s.halt()
}

// stop waits for what runs, at first patiently.
func (s *session) stop() {
	close(s.stopping)
	idle := func() bool { return len(s.held) == 0 && !s.polling }
	within := func(limit time.Duration) bool {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return s.waitFor(ctx, idle)
	}
	defer s.giveUp()
	if within(s.Grace) {
		return
	}
	s.hangUp()
	s.change(func() {
		for run := range s.held {
			run.stopped = true
			run.cancel()
		}
	})
	if within(lastCall) {
		return
	}
	s.mutex.Lock()
	var rest []*heldRun
	for run := range s.held {
		rest = append(rest, run)
	}
	s.mutex.Unlock()
	for _, run := range rest {
		s.end(run, "/claims/release", fields{"started": true})
	}
	within(s.lease)
}

// claimUntil claims tasks until ctx is over. A question that is under way then is not broken off: its answer may have tasks.
func (s *session) claimUntil(ctx context.Context) {
	defer s.change(func() { s.polling = false })
	var pauses backoff
	for ctx.Err() == nil {
		count := 0
		if !s.waitFor(ctx, func() bool { count = s.room(); return count > 0 }) {
			return
		}
		retryAfter, err := s.claim(count)
		switch {
		case err == nil:
			pauses = backoff{}
		case isFaultOfQuestion(err):
			s.fail(err)
		default:
			pause := pauses.next(retryAfter)
			s.log("gaia: no tasks can be claimed: %v; the next try is in %v", err, pause.Round(time.Millisecond))
			sleep(ctx, pause)
		}
	}
}

// isFaultOfQuestion says whether the server refuses a question for what it is, and so would refuse it each time. Whatever else comes, such as
// the page of a proxy, may be over soon.
func isFaultOfQuestion(err error) bool {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	case http.StatusBadRequest:
		return !isTemporary(err)
	}
	return false
}

// room is how many tasks to claim. Ends that wait for the server count, too, so that they do not pile up.
func (s *session) room() int {
	count := s.Batch
	for _, limit := range []int{s.capacity - s.active, 2*s.capacity - len(s.held)} {
		if limit < count {
			count = limit
		}
	}
	return count
}

type claimedTask struct {
	Token       string          `json:"token"`
	ID          int64           `json:"id"`
	Theme       string          `json:"theme"`
	Service     string          `json:"service"`
	Method      string          `json:"method"`
	Args        json.RawMessage `json:"args"`
	ArgsText    *string         `json:"args_text"`
	Attempt     int             `json:"attempt"`
	MaxAttempts int             `json:"max_attempts"`
	LogID       string          `json:"log_id"`
	TimeoutMS   int64           `json:"timeout_ms"`
	Traceparent string          `json:"traceparent"`
}

func (s *session) claim(count int) (retryAfter time.Duration, err error) {
	body, err := json.Marshal(fields{
		"worker": s.Name, "theme": s.Theme, "methods": s.methods, "count": count,
		"lease_ms": s.Lease.Milliseconds(), "wait_ms": s.Wait.Milliseconds(),
	})
	if err != nil {
		return 0, err
	}
	answer, retryAfter, err := s.Client.sendOnce(s.polls, request{
		method: http.MethodPost, path: "/claims", contentType: "application/json", body: body, wait: s.Wait,
	})
	if err != nil {
		return retryAfter, err
	}
	var list struct {
		LeaseMS int64 `json:"lease_ms"`
		Tasks   []claimedTask
	}
	if err := json.Unmarshal(answer.body, &list); err != nil {
		return 0, fmt.Errorf("gaia: the answer of the server is no JSON as expected: %w", err)
	}
	now := time.Now()
	runs := make([]*heldRun, len(list.Tasks))
	for i, task := range list.Tasks {
		runs[i] = s.hold(task, now)
	}
	s.change(func() {
		if list.LeaseMS > 0 {
			s.lease = time.Duration(list.LeaseMS) * time.Millisecond
		}
		for _, run := range runs {
			run.until = now.Add(s.lease)
			s.held[run] = struct{}{}
		}
		s.active += len(runs)
	})
	for _, run := range runs {
		go s.execute(run)
	}
	return 0, nil
}

func (s *session) hold(task claimedTask, now time.Time) *heldRun {
	call := &Call{
		Service: task.Service, Method: task.Method, Args: task.Args, Attempt: task.Attempt, MaxAttempts: task.MaxAttempts, LogID: task.LogID,
		Traceparent: task.Traceparent, TaskID: task.ID, Theme: task.Theme, Token: task.Token, run: s.Client.Run(task.Token),
	}
	if task.ArgsText != nil {
		call.Args = json.RawMessage(*task.ArgsText)
	}
	run := &heldRun{call: call, handler: s.handlers[methodName{task.Service, task.Method}]}
	if run.handler == nil {
		run.handler = func(context.Context, *Call) (any, error) { return nil, errors.New("this worker has no such method") }
	}
	if task.TimeoutMS > 0 {
		timeout := longestDelay
		if task.TimeoutMS < timeout.Milliseconds() {
			timeout = time.Duration(task.TimeoutMS) * time.Millisecond
		}
		call.Deadline = now.Add(timeout)
		run.ctx, run.cancel = context.WithDeadline(context.Background(), call.Deadline)
	} else {
		run.ctx, run.cancel = context.WithCancel(context.Background())
	}
	return run
}

// execute waits for a free slot, and runs the task.
func (s *session) execute(run *heldRun) {
	defer run.cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.stopping:
	case <-run.ctx.Done():
	}
	select {
	case <-s.stopping:
		s.end(run, "/claims/release", fields{"started": false})
		return
	case <-run.ctx.Done():
		s.end(run, "/claims/release", fields{"started": false})
		return
	default:
	}
	// Counts for nothing after another end.
	defer s.end(run, "/claims/fail", fields{"error": "the handler has ended its goroutine", "discard": false})
	result, err := invoke(run.ctx, run.handler, run.call, s.log)
	path, body := endOf(result, err)
	var discard *discarded
	s.mutex.Lock()
	handBack := (run.stopped || errors.Is(err, ErrCancelled)) && path == "/claims/fail" && !errors.As(err, &discard)
	s.mutex.Unlock()
	if handBack {
		path, body = "/claims/release", fields{"started": true}
	}
	s.end(run, path, body)
}

// end gives a run its end, which is then sent. A second end of a run, and an end of a lost one, count for nothing.
func (s *session) end(run *heldRun, path string, body fields) {
	body["token"] = run.call.Token
	s.change(func() {
		if run.path != "" {
			return
		}
		run.path, run.end = path, body
		s.active--
		if run.lost || s.barred {
			delete(s.held, run)
		} else {
			s.ended = append(s.ended, run)
		}
	})
}

// sendEndsAlways sends ends as they come. What comes during a request goes together into the next.
func (s *session) sendEndsAlways() {
	var pauses backoff
	for s.waitFor(s.requests, func() bool { return len(s.ended) > 0 }) {
		runs := s.takeEnds()
		if len(runs) == 0 {
			continue
		}
		retryAfter, err := s.sendEnds(runs)
		if err == nil {
			pauses = backoff{}
			continue
		}
		pause := pauses.next(retryAfter)
		s.log("gaia: %d ends cannot be sent: %v; the next try is in %v", len(runs), err, pause.Round(time.Millisecond))
		sleep(s.requests, pause)
	}
}

// takeEnds takes ends of one kind that go into one request. Those whose lease is over are dropped.
func (s *session) takeEnds() (runs []*heldRun) {
	s.change(func() {
		var rest []*heldRun
		bytes := 0
		for _, run := range s.ended {
			switch {
			case run.lost || time.Now().After(run.until) || !run.giveUp.IsZero() && time.Now().After(run.giveUp):
				delete(s.held, run)
				s.log("gaia: task %d: the lease is over, and its end is not written; the task runs again", run.call.TaskID)
			case len(runs) == 0 || s.goesWith(runs, run) && bytes+run.end.size() <= endBytesPerRequest:
				runs = append(runs, run)
				bytes += run.end.size()
			default:
				rest = append(rest, run)
			}
		}
		s.ended = rest
	})
	return runs
}

func (s *session) goesWith(runs []*heldRun, run *heldRun) bool {
	return run.path == runs[0].path && len(runs) < s.group && !run.alone && !runs[0].alone
}

// sendEnds sends ends once. After an error the ends are kept.
func (s *session) sendEnds(runs []*heldRun) (time.Duration, error) {
	bodies := make([]fields, len(runs))
	for i, run := range runs {
		bodies[i] = run.end
	}
	states, retryAfter, err := s.Client.postRunsOnce(s.requests, runs[0].path, bodies)
	switch {
	case err == nil:
		s.written(runs, states)
		return 0, nil
	case isForbidden(err):
		s.change(func() { s.keep(runs) })
		s.fail(err)
		return 0, nil
	case isFaultOfEnd(err):
		s.refused(runs, err)
		return 0, nil
	}
	s.notWritten(runs, err)
	return retryAfter, err
}

// isFaultOfEnd says whether the server refuses an end for what is in it, and so would refuse it each time.
func isFaultOfEnd(err error) bool {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Status {
	case http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return refusal.Code == "bad_json"
}

// notWritten keeps ends for another try. After an odd answer, such as a fault of the server or the page of a proxy, each goes alone, so that an
// end that always gets one does not keep the others back; after a lease it is dropped. After none, or none in time, fewer go together.
func (s *session) notWritten(runs []*heldRun, err error) {
	var lost *lostAnswer
	var refusal *Refusal
	s.change(func() {
		if errors.As(err, &lost) || errors.As(err, &refusal) && refusal.Status == http.StatusRequestTimeout {
			s.group = (len(runs) + 1) / 2
		}
		for _, run := range runs {
			run.unsure = run.unsure || mayBeDone(err)
			if !isTemporary(err) {
				run.alone = true
			}
			if !isTemporary(err) && len(runs) == 1 && run.giveUp.IsZero() {
				run.giveUp = time.Now().Add(s.lease)
			}
		}
		s.keep(runs)
	})
}

// keep puts ends back, behind the others, unless the server takes nothing from this worker.
func (s *session) keep(runs []*heldRun) {
	if !s.barred {
		s.ended = append(s.ended, runs...)
		return
	}
	for _, run := range runs {
		delete(s.held, run)
	}
}

func (s *session) written(runs []*heldRun, states []runState) {
	s.change(func() {
		if s.group *= 2; s.group > endsPerRequest {
			s.group = endsPerRequest
		}
		for i, run := range runs {
			delete(s.held, run)
			if states[i].State == stateLost && !run.unsure {
				s.log("gaia: task %d was lost before its end came", run.call.TaskID)
			}
		}
	})
}

// refused handles ends that the server does not take as they are: each goes alone, so that one fault does not keep the others back, and a
// result that is refused alone becomes an error.
func (s *session) refused(runs []*heldRun, err error) {
	s.change(func() {
		var again []*heldRun
		for _, run := range runs {
			switch {
			case len(runs) > 1:
				run.alone = true
				again = append(again, run)
			case run.path == "/claims/finish":
				run.path = "/claims/fail"
				run.end = fields{"token": run.call.Token, "error": errorText("the server does not take the result: " + err.Error()), "discard": true}
				again = append(again, run)
			default:
				delete(s.held, run)
				s.log("gaia: task %d: the server does not take its end: %v", run.call.TaskID, err)
			}
		}
		s.keep(again)
	})
}

func isForbidden(err error) bool {
	var refusal *Refusal
	return errors.As(err, &refusal) && (refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden)
}

// beatAlways beats every third of the lease, and more often after a failure.
func (s *session) beatAlways() {
	var pauses backoff
	lease, pause := s.Lease, s.Lease/3
	for {
		due, cancel := context.WithTimeout(s.requests, pause)
		changed := s.waitFor(due, func() bool { return s.lease != lease })
		cancel()
		switch {
		case s.requests.Err() != nil:
			return
		case changed: // the server has given another one
			s.mutex.Lock()
			lease = s.lease
			s.mutex.Unlock()
			pause = lease / 3
			continue
		}
		retryAfter, err := s.beat(lease / 3)
		s.fence()
		pause = lease / 3
		switch {
		case err == nil:
			pauses = backoff{}
		case isForbidden(err):
			s.fail(err)
		default:
			s.log("gaia: the lease cannot be renewed: %v", err)
			if sooner := pauses.next(retryAfter); sooner < pause {
				pause = sooner
			}
		}
	}
}

// beat names all held runs.
func (s *session) beat(timeout time.Duration) (time.Duration, error) {
	s.mutex.Lock()
	var runs []*heldRun
	for run := range s.held {
		if !run.lost {
			runs = append(runs, run)
		}
	}
	s.mutex.Unlock()
	for len(runs) > 0 {
		some := runs
		if len(some) > beatsPerRequest {
			some = some[:beatsPerRequest]
		}
		runs = runs[len(some):]
		if retryAfter, err := s.beatSome(some, timeout); err != nil {
			return retryAfter, err
		}
	}
	return 0, nil
}

func (s *session) beatSome(runs []*heldRun, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(s.requests, timeout)
	defer cancel()
	bodies := make([]fields, len(runs))
	for i, run := range runs {
		bodies[i] = fields{"token": run.call.Token}
	}
	states, retryAfter, err := s.Client.postRunsOnce(ctx, "/claims/beat", bodies)
	if err != nil {
		return retryAfter, err
	}
	now := time.Now()
	s.change(func() {
		for i, run := range runs {
			switch {
			case states[i].State != stateLost:
				run.until = now.Add(s.lease)
				if states[i].State == stateCancelled {
					run.stopped = true
					run.cancel()
				}
			case run.path == "": // else its end may have been written just now
				s.lose(run, "the server says so")
			}
		}
	})
	return 0, nil
}

// fence gives up the runs whose lease is over: another worker may have them.
func (s *session) fence() {
	now := time.Now()
	s.change(func() {
		for run := range s.held {
			if run.path == "" && !run.lost && now.After(run.until) {
				s.lose(run, "the server was away for the whole lease")
			}
		}
	})
}

func (s *session) lose(run *heldRun, why string) {
	run.lost = true
	run.cancel()
	s.log("gaia: task %d is lost: %s", run.call.TaskID, why)
}
