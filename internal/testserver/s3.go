package testserver

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	accessKey = "testkey"
	secretKey = "testsecret"
	region    = "us-east-1"
)

// The servers of S3 that there are.
var (
	MinIO = Kind{
		Name: "minio",
		args: func(addr, dir string) []string { return []string{"server", "--address", addr, dir} },
		env: []string{
			"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
			"MINIO_CI_CD=1", // the directory may lie on the system's own disk
		},
		makeBucket: makeS3Bucket, url: s3URL, clientEnv: s3ClientEnv,
	}
	Versity = Kind{
		Name:       "versitygw",
		args:       func(addr, dir string) []string { return []string{"--port", addr, "--quiet", "posix", dir} },
		env:        []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		makeBucket: makeS3Bucket, url: s3URL, clientEnv: s3ClientEnv,
	}
)

func s3URL(addr string) string { return BucketURL("http://"+addr, bucket) }

func s3ClientEnv(_, home string) map[string]string { return Env(home) }

// Env returns the environment in which a client reaches every server of S3 in this package, by names and values. dir is
// where the files of the user's own credentials are not.
func Env(dir string) map[string]string {
	none := filepath.Join(dir, "none")
	return map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
	}
}

// BucketURL returns the URL of a bucket on the server of S3 at endpoint, for objstore.Open.
func BucketURL(endpoint, bucket string) string {
	return "s3://" + bucket + "?endpoint=" + endpoint + "&use_path_style=true&region=" + region
}

func makeS3Bucket(ctx context.Context, addr string) error {
	_, err := s3Client("http://"+addr).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	if isOurs(err) {
		return nil
	}
	return err
}

// isOurs reports whether err says that the bucket is there from an attempt before.
func isOurs(err error) bool {
	var owned *types.BucketAlreadyOwnedByYou
	return errors.As(err, &owned)
}

// s3Client returns one that tries on until its context ends.
func s3Client(endpoint string) *s3.Client {
	credentials := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	return s3.New(s3.Options{
		Region:       region,
		BaseEndpoint: aws.String(endpoint),
		UsePathStyle: true,
		Credentials:  aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = math.MaxInt
			o.RateLimiter = ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return retryDelay, nil })
			o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				return aws.BoolTernary(!isOurs(err))
			}))
		}),
	})
}
