package testserver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// makeBucket makes the bucket as soon as the server takes requests.
func (s *Server) makeBucket(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := client(s.endpoint).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	cancel()
	<-watched
	if err != nil && !isOurs(err) {
		return fmt.Errorf("make bucket: %w", err)
	}
	return nil
}

// isOurs reports whether err says that the bucket is there from an attempt before.
func isOurs(err error) bool {
	var owned *types.BucketAlreadyOwnedByYou
	return errors.As(err, &owned)
}

// client returns one that tries on until its context ends.
func client(endpoint string) *s3.Client {
	credentials := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	return s3.New(s3.Options{
		Region:       region,
		BaseEndpoint: aws.String(endpoint),
		UsePathStyle: true,
		Credentials:  aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = math.MaxInt
			o.RateLimiter = ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 20 * time.Millisecond, nil })
			o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				return aws.BoolTernary(!isOurs(err))
			}))
		}),
	})
}
