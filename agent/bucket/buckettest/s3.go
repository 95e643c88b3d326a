package buckettest

import (
	"context"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The keys that the S3 servers take.
const (
	accessKey = "wadi-tests"
	secretKey = "wadi-tests-secret"
	region    = "us-east-1"
)

// Keys are the environment variables by which a process reaches the S3 servers;
// an empty one is to be unset.
func Keys() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
	}
}

// S3 is an S3 server on this machine, for programs that are no tests. It stops
// with the process that started it, if not before.
type S3 struct {
	Endpoint string // http://HOST:PORT
	stop     func()
	client   *s3.Client
}

// StartMoto starts moto's S3 server in dir, as Moto does.
func StartMoto(dir string) (*S3, error) {
	python, err := fetchMoto()
	if err != nil {
		return nil, err
	}
	const ready = "Running on http://"
	line, stop, err := launch(dir, ready, []string{"PYTHONUNBUFFERED=1"}, python, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0")
	if err != nil {
		return nil, err
	}
	address, err := after(line, ready)
	if err != nil {
		stop()
		return nil, err
	}
	return newS3("http://"+address, stop), nil
}

// StartMinIO starts MinIO in dir, as MinIO does; its objects are files there.
func StartMinIO(dir string) (*S3, error) {
	program, err := fetchTool("github.com/minio/minio", minioVersion)
	if err != nil {
		return nil, err
	}
	address, err := findAddress()
	if err != nil {
		return nil, err
	}
	env := []string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_UPDATE=off", "MINIO_BROWSER=off"}
	_, stop, err := launch(dir, "API: http://", env, program, "server", "--address", address, dir)
	if err != nil {
		return nil, err
	}
	return newS3("http://"+address, stop), nil
}

func newS3(endpoint string, stop func()) *S3 {
	return &S3{Endpoint: endpoint, stop: stop, client: s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
		}),
	})}
}

// Create makes a bucket; S3URL is its URL.
func (s *S3) Create(ctx context.Context, name string) error {
	_, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	return err
}

// Stop ends the server.
func (s *S3) Stop() { s.stop() }

// S3URL is the URL of a bucket of a server that has no names of its own for buckets.
func S3URL(name, endpoint string) string {
	q := url.Values{"endpoint": {endpoint}, "s3ForcePathStyle": {"true"}, "region": {region}}
	return (&url.URL{Scheme: "s3", Host: name, RawQuery: q.Encode()}).String()
}
