//go:build !faketime

package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	gocloudaws "gocloud.dev/aws"
)

const (
	// credentialsTimeout bounds how long a machine is asked for its credentials at start.
	credentialsTimeout = 15 * time.Second
	// connectTimeout bounds a connection's making, its TLS included.
	connectTimeout = 5 * time.Second
	// idleTimeout is when an unused connection is closed; S3 closes them after about 20 s.
	idleTimeout = 15 * time.Second
	// bufferBytes is what a connection reads and writes at once.
	bufferBytes = 64 << 10
	// hotIdleConnections are kept open for the next request.
	hotIdleConnections = 64
	// coldConnectionsMax bounds the connections of cold reads; further ones wait for one.
	coldConnectionsMax = 32
	// defaultRegion is what servers that have no regions expect in a signature.
	defaultRegion = "us-east-1"
)

// openS3 opens s3://NAME with the parameters that gocloud.dev reads: region,
// endpoint, s3ForcePathStyle (or use_path_style), anonymous, profile, role,
// dualstack, fips, accelerate, disable_https, ssetype, kmskeyid and others.
// Credentials come from where the AWS SDK looks; only anonymous=true goes without.
func openS3(ctx context.Context, u *url.URL) (Bucket, io.Closer, error) {
	b, err := newS3(ctx, u)
	if err != nil {
		return nil, nil, fmt.Errorf("bucket URL %q: %w", u.Redacted(), err)
	}
	return b, b, nil
}

// s3Parameters are the parameters that aren't the SDK's config.
type s3Parameters struct {
	endpoint                            string
	pathStyle, accelerate, withoutHTTPS bool
	encryption                          types.ServerSideEncryption
	kmsKey                              *string
}

func newS3(ctx context.Context, u *url.URL) (*s3Bucket, error) {
	if u.Host == "" || u.Path != "" && u.Path != "/" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("write s3://NAME?region=REGION; a bucket has no path")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, err
	}
	p, err := takeS3Parameters(q)
	if err != nil {
		return nil, err
	}
	if p.endpoint != "" && !q.Has("region") {
		q.Set("region", defaultRegion)
	}
	cfg, err := gocloudaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("which region is it in? Write s3://NAME?region=REGION or set AWS_REGION")
	}
	if err := haveCredentials(ctx, cfg); err != nil {
		return nil, err
	}
	hot, cold, closeIdle := s3Connections(cfg)
	options := func(o *s3.Options) {
		o.HTTPClient = hot
		o.Retryer = aws.NopRetryer{} // Retry does, on the same key and bytes.
		o.UsePathStyle = p.pathStyle
		o.UseAccelerate = p.accelerate
		o.EndpointOptions.DisableHTTPS = p.withoutHTTPS
		if p.endpoint != "" {
			o.BaseEndpoint = &p.endpoint
		}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware(stack)
		})
	}
	return &s3Bucket{
		name:       u.Host,
		client:     s3.NewFromConfig(cfg, options),
		cold:       s3.NewFromConfig(cfg, options, func(o *s3.Options) { o.HTTPClient = cold }),
		encryption: p.encryption,
		kmsKey:     p.kmsKey,
		close:      closeIdle,
	}, nil
}

// takeS3Parameters reads and removes the parameters that V2ConfigFromURLParams doesn't know,
// and the endpoint, which the SDK wants elsewhere by now.
func takeS3Parameters(q url.Values) (s3Parameters, error) {
	var p s3Parameters
	text := func(name string) string {
		value := q.Get(name)
		q.Del(name)
		return value
	}
	for name, to := range map[string]*bool{
		"use_path_style": &p.pathStyle, "s3ForcePathStyle": &p.pathStyle, "hostname_immutable": &p.pathStyle,
		"accelerate": &p.accelerate, "disable_https": &p.withoutHTTPS,
	} {
		value := text(name)
		if value == "" {
			continue
		}
		yes, err := strconv.ParseBool(value)
		if err != nil {
			return p, fmt.Errorf("%s=%q is neither true nor false", name, value)
		}
		*to = *to || yes
	}
	if p.endpoint = text("endpoint"); p.endpoint != "" {
		e, err := url.Parse(p.endpoint)
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" {
			return p, fmt.Errorf("endpoint=%q is not http://HOST:PORT or https://HOST", p.endpoint)
		}
	}
	if value := text("ssetype"); value != "" {
		p.encryption = types.ServerSideEncryption(value)
	}
	if value := text("kmskeyid"); value != "" {
		p.kmsKey = &value
	}
	return p, nil
}

// haveCredentials asks for credentials now, so that their absence is told at the start
// and in words, instead of by every request.
func haveCredentials(ctx context.Context, cfg aws.Config) error {
	if cfg.Credentials == nil || aws.IsCredentialsProvider(cfg.Credentials, aws.AnonymousCredentials{}) {
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(timed); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: there are no credentials in the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE), in a profile or from the machine, "+
			"and the URL doesn't say anonymous=true: %w", ErrDenied, err)
	}
	return nil
}

// s3Connections makes the connections of hot requests and of cold reads. Cold reads
// have their own, bounded ones, so that a reader that catches up can neither make
// writes wait for a connection nor close the ones that they would use again.
func s3Connections(cfg aws.Config) (hot, cold aws.HTTPClient, closeIdle func()) {
	client, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // with AWS_CA_BUNDLE, if it is set
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	with := func(idle, most int) *http.Client {
		t := client.WithDialerOptions(func(d *net.Dialer) { d.Timeout = connectTimeout }).GetTransport()
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 0, idle, most
		t.IdleConnTimeout = idleTimeout
		t.TLSHandshakeTimeout = connectTimeout
		t.ReadBufferSize, t.WriteBufferSize = bufferBytes, bufferBytes
		t.DisableCompression = true
		t.ForceAttemptHTTP2 = false // One connection would carry everything.
		t.DialContext = dialBodies(t.DialContext)
		return &http.Client{Transport: bodyTransport{t}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	h, c := with(hotIdleConnections, 0), with(coldConnectionsMax, coldConnectionsMax)
	return h, c, func() {
		h.CloseIdleConnections()
		c.CloseIdleConnections()
	}
}
