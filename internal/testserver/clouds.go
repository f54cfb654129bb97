package testserver

import (
	"context"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// retryDelay is the time between attempts to make a bucket.
const retryDelay = 20 * time.Millisecond

// The account that Azurite has. Its key is public.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// The servers of other clouds' protocols. They keep everything in memory.
var (
	GCS = Kind{
		Name: "fake-gcs-server",
		args: func(addr, _ string) []string {
			host, port, _ := net.SplitHostPort(addr)
			return []string{"-scheme", "http", "-host", host, "-port", port, "-public-host", addr, "-backend", "memory", "-log-level", "error"}
		},
		makeBucket: makeGCSBucket,
		url:        func(string) string { return "gs://" + bucket },
		clientEnv:  func(addr, _ string) map[string]string { return GCSEnv(addr) },
	}
	Azurite = Kind{
		Name: "azurite-blob",
		path: "azurite/node_modules/.bin",
		args: func(addr, _ string) []string {
			host, port, _ := net.SplitHostPort(addr)
			return []string{
				"--blobHost", host, "--blobPort", port, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry",
			}
		},
		makeBucket: makeAzureBucket,
		url:        func(addr string) string { return AzureURL(addr, bucket) },
		clientEnv:  func(string, string) map[string]string { return AzureEnv() },
	}
)

// GCSEnv returns the environment in which a client of Google Cloud Storage takes the server at addr, without a scheme, for it.
func GCSEnv(addr string) map[string]string {
	return map[string]string{"STORAGE_EMULATOR_HOST": addr, "STORAGE_EMULATOR_HOST_GRPC": ""}
}

// AzureEnv returns the environment in which a client has the account of Azurite.
func AzureEnv() map[string]string {
	env := map[string]string{"AZURE_STORAGE_ACCOUNT": azureAccount, "AZURE_STORAGE_KEY": azureKey}
	for _, name := range []string{
		"SAS_TOKEN", "CONNECTION_STRING", "DOMAIN", "PROTOCOL", "IS_CDN", "IS_LOCAL_EMULATOR",
	} {
		env["AZURE_STORAGE_"+name] = ""
	}
	env["AZURE_STORAGEBLOB_CONNECTIONSTRING"] = ""
	return env
}

// AzureURL returns the URL of a container on the server at addr, for objstore.Open.
func AzureURL(addr, container string) string {
	return "azblob://" + container + "?domain=" + addr + "&protocol=http"
}

func makeGCSBucket(ctx context.Context, addr string) error {
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/storage/v1/b?project=graft", strings.NewReader(`{"name":"`+bucket+`"}`))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusConflict {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryDelay):
		}
	}
}

func makeAzureBucket(ctx context.Context, addr string) error {
	key, err := container.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		return err
	}
	o := new(container.ClientOptions)
	o.Retry = policy.RetryOptions{MaxRetries: math.MaxInt32 - 1, RetryDelay: retryDelay, MaxRetryDelay: retryDelay}
	client, err := container.NewClientWithSharedKeyCredential("http://"+addr+"/"+azureAccount+"/"+bucket, key, o)
	if err != nil {
		return err
	}
	if _, err = client.Create(ctx, nil); bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return err
}
