// Producer adds tasks through the HTTP API of gaia-actors, and waits for one of them. The package gaia (clients/go) sends the requests.
//
// It adds one task and a list of tasks, each of them once: a request whose answer was lost is sent again with the same Idempotency-Key, and
// the server answers with the tasks that it has added already. At the end it sends both requests once more on purpose, to show that.
//
//	cargo run --example service --features postgres,web
//	curl -H 'content-type: application/json' -d '{"customer": "ann", "item": "tea", "amount": 2}' localhost:8080/orders
//	cd examples/producers/go && go run .
//
// GAIA_URL says where the API is (default http://localhost:8080/gaia/api/v1). GAIA_TOKEN is a token with the permissions enqueue and view
// (a producer that waits for no result needs enqueue alone); a server that gives access to its own machine needs none.
// The exit status is 0 only if every task was added once and the first of them has succeeded.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"example.org/gaia"
)

const (
	theme = "order-task"
	// How long the whole program takes at most.
	patience = 2 * time.Minute
)

// confirm is a task that confirms order 1: confirming it twice is the same as once.
func confirm(name string) gaia.NewTask {
	return gaia.NewTask{Service: "OrderService", Method: "ConfirmOrder", Name: name, Args: 1}
}

// newKey makes a key at random. A program that may be restarted between two tries takes a key that it finds again, such as the id of the
// message that it handles.
func newKey() (string, error) {
	bytes := make([]byte, 16)
	_, err := rand.Read(bytes)
	return hex.EncodeToString(bytes), err
}

func run(ctx context.Context) error {
	url := os.Getenv("GAIA_URL")
	if url == "" {
		url = "http://localhost:8080/gaia/api/v1"
	}
	client, err := gaia.NewClient(url, os.Getenv("GAIA_TOKEN"))
	if err != nil {
		return err
	}
	client.Logger = log.Default() // one line for each request that is sent again

	// Made before the first request, and kept for the second one.
	oneKey, err := newKey()
	if err != nil {
		return err
	}
	batchKey, err := newKey()
	if err != nil {
		return err
	}
	one := confirm("from Go")
	batch := []gaia.NewTask{confirm("from Go, 1 of 3"), confirm("from Go, 2 of 3"), confirm("from Go, 3 of 3")}

	added, err := client.Add(ctx, theme, oneKey, one)
	if err != nil {
		return err
	}
	fmt.Println("added task", added.ID)
	list, err := client.AddBatch(ctx, theme, batchKey, batch)
	if err != nil {
		return err
	}
	fmt.Printf("added %d tasks, the first is %d\n", len(list), list[0].ID)

	// Once more, as if the answers had been lost: the same tasks, and no further ones.
	again, err := client.Add(ctx, theme, oneKey, one)
	if err != nil {
		return err
	}
	listAgain, err := client.AddBatch(ctx, theme, batchKey, batch)
	if err != nil {
		return err
	}
	first := append(list, added)
	for i, repeated := range append(listAgain, again) {
		if repeated.ID != first[i].ID || !repeated.Replayed {
			return fmt.Errorf("the repeated request has added another task: %+v and %+v", first[i], repeated)
		}
	}

	ended, err := client.WaitFor(ctx, added.ID)
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}
