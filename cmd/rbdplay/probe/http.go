package probe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// HTTP asks for url, with host as the Host header ("" for the URL's own). The right
// answer has this status; redirects are not followed. Every request has a
// connection of its own, as users have.
func HTTP(url, host string, status int) Asker {
	return func(ctx context.Context) Outcome {
		got, err := get(ctx, url, host)
		switch {
		case err != nil:
			return Lost
		case got != status:
			return Wrong
		}
		return Answered
	}
}

// Status is the status that url answers with now.
func Status(ctx context.Context, url, host string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	return get(ctx, url, host)
}

func get(ctx context.Context, url, host string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	if _, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return 0, fmt.Errorf("%s: %w", url, err)
	}
	return response.StatusCode, nil
}

var client = &http.Client{
	Timeout:       Patience + time.Second, // the context is sooner
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
