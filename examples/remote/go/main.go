// Orders is a service whose methods are tasks and jobs of a server of gaia-actors: the OrderService of the guide.
//
// gaia serve calls it, as examples/remote/config.json says. Or it asks for tasks of a theme, so that nobody needs to reach it. From the root
// of the repository:
//
//	export ORDERS_SECRET=whsec_b3JkZXJzIG9mIHRoZSBleGFtcGxlLCBub3Qgc2VjcmV0
//	export GAIA_TOKEN=orders-of-the-example
//	cargo run --features cli -- serve --config examples/remote/config.json
//	cd examples/remote/go && go run .                       # called: tasks of the theme order-task
//	cd examples/remote/go && go run . -pull order-pull      # asking: tasks of the theme order-pull
//	cargo run --features cli -- --server http://127.0.0.1:8080 task add order-task OrderService AsyncCreateOrder '{"item": "tea", "amount": 2}' --wait
//
// A task runs at least once, and perhaps again. So an order belongs to the id of its task, and the second run finds the order of the first:
// -orders names the file that keeps them.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"example.org/gaia"
)

const (
	// How long a stop waits for what is under way.
	grace = 10 * time.Second
	// How often a parked run is heard of at least.
	packingLease = 15 * time.Second
	// How long the supplier takes to bring what is not in stock.
	delivery = 2 * time.Second
)

type order struct {
	TaskID  int64  `json:"task_id"`
	OrderID int    `json:"order_id"`
	LogID   string `json:"log_id"` // of the run that has created it
	Item    string `json:"item"`
	Amount  int    `json:"amount"`
}

// orderService creates and packs orders.
type orderService struct {
	client *gaia.Client
	ctx    context.Context // over when the program stops
	packed sync.WaitGroup  // runs that are parked

	mutex    sync.Mutex
	file     *os.File
	orders   map[int64]order
	arrivals map[string]time.Time
}

func open(path string) (*orderService, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s := &orderService{file: file, orders: map[int64]order{}, arrivals: map[string]time.Time{}}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		s.orders[o.TaskID] = o
	}
	return s, lines.Err()
}

// createOrder is AsyncCreateOrder of the guide.
func (s *orderService) createOrder(_ context.Context, call *gaia.Call) (any, error) {
	var request struct {
		Item   string
		Amount int
	}
	if err := call.Decode(&request); err != nil {
		return nil, err
	}
	if request.Item == "" || request.Amount < 1 {
		return nil, gaia.Discard(errors.New("an order needs an item, and an amount of at least 1"))
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if wait := s.missing(request.Item); wait > 0 {
		return nil, gaia.Snooze(wait)
	}
	o, known := s.orders[call.TaskID]
	if !known {
		o = order{TaskID: call.TaskID, OrderID: len(s.orders) + 1, LogID: call.LogID, Item: request.Item, Amount: request.Amount}
		line, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		if _, err := s.file.Write(append(line, '\n')); err != nil {
			return nil, err
		}
		s.orders[o.TaskID] = o
	}
	return map[string]int{"order_id": o.OrderID}, nil
}

// missing is how long it takes until an item is in stock. Truffles have to be ordered first.
func (s *orderService) missing(item string) time.Duration {
	if item != "truffles" {
		return 0
	}
	if _, ordered := s.arrivals[item]; !ordered {
		s.arrivals[item] = time.Now().Add(delivery)
	}
	return time.Until(s.arrivals[item])
}

// packOrder takes minutes in a real shop. A called service parks the run and goes on by itself; a worker just works.
func (s *orderService) packOrder(ctx context.Context, call *gaia.Call) (any, error) {
	var request struct{ Boxes int }
	if err := call.Decode(&request); err != nil {
		return nil, err
	}
	if run := call.Run(); run != nil {
		return pack(ctx, run, request.Boxes)
	}
	run := s.client.Run(call.Token)
	s.packed.Add(1)
	go func() {
		defer s.packed.Done()
		s.packParked(run, request.Boxes)
	}()
	return nil, gaia.Park(packingLease)
}

func (s *orderService) packParked(run *gaia.Run, boxes int) {
	kept, stop := run.Keep(s.ctx, packingLease)
	defer stop()
	result, err := pack(kept, run, boxes)
	// The end is sent also while the program stops.
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	switch {
	case kept.Err() != nil || errors.Is(err, gaia.ErrCancelled):
		err = run.Release(ctx, true)
	case err != nil:
		err = run.Fail(ctx, err)
	default:
		err = run.Finish(ctx, result)
	}
	if err != nil {
		log.Printf("the end of a parked run: %v", err)
	}
}

func pack(ctx context.Context, run *gaia.Run, boxes int) (any, error) {
	for box := 1; box <= boxes; box++ {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := run.Progress(ctx, 100*box/boxes, fmt.Sprintf("box %d of %d", box, boxes)); err != nil {
			return nil, err
		}
		if err := run.Log(ctx, gaia.Line{Level: "info", Message: fmt.Sprintf("box %d is packed", box), Time: time.Now()}); err != nil {
			return nil, err
		}
	}
	return map[string]int{"boxes": boxes}, nil
}

// closeDay is the method of a job.
func (s *orderService) closeDay(_ context.Context, call *gaia.Call) (any, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return map[string]any{"job": call.Job, "orders": len(s.orders)}, nil
}

// serve is called by the server, until ctx is over.
func (s *orderService) serve(ctx context.Context, address string) error {
	service, err := gaia.NewService(os.Getenv("ORDERS_SECRET"))
	if err != nil {
		return err
	}
	service.Logger = log.Default()
	service.Handle("AsyncCreateOrder", s.createOrder)
	service.Handle("AsyncPackOrder", s.packOrder)
	service.Handle("CloseDay", s.closeDay)
	mux := http.NewServeMux()
	mux.Handle("/orders/", service)
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("OrderService is at http://%s/orders", address)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err = server.Shutdown(stop)
	s.packed.Wait()
	return err
}

// pull asks for tasks of a theme, until ctx is over.
func (s *orderService) pull(ctx context.Context, theme, name string) error {
	worker := &gaia.Worker{Client: s.client, Name: name, Theme: theme, Concurrency: 20, Grace: grace, Logger: log.Default()}
	worker.Handle("OrderService", "AsyncCreateOrder", s.createOrder)
	worker.Handle("OrderService", "AsyncPackOrder", s.packOrder)
	log.Printf("%s asks for tasks of the theme %s", name, theme)
	return worker.Run(ctx)
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:9000", "where the service is called")
	theme := flag.String("pull", "", "ask for tasks of this `theme`, and listen nowhere")
	name := flag.String("name", "orders-go", "the name of the worker that asks")
	path := flag.String("orders", "orders.jsonl", "the `file` that keeps the orders")
	flag.Parse()
	api := os.Getenv("GAIA_URL")
	if api == "" {
		api = "http://127.0.0.1:8080/api/v1"
	}

	// A second signal ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }()
	client, err := gaia.NewClient(api, os.Getenv("GAIA_TOKEN"))
	if err != nil {
		return err
	}
	service, err := open(*path)
	if err != nil {
		return err
	}
	defer service.file.Close()
	service.client, service.ctx = client, ctx
	if *theme != "" {
		return service.pull(ctx, *theme, *name)
	}
	return service.serve(ctx, *listen)
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
