/* A stub of NVIDIA's libcuda.so.1 (a library we do not own): a driver of CUDA 13 that finds no device. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

enum { NO_DEVICE = 100 };

static int no_device(void) { return NO_DEVICE; }

int cuInit(unsigned int flags) { (void)flags; return NO_DEVICE; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 0; return NO_DEVICE; }
int cuGetErrorName(int error, const char **name) { (void)error; *name = "CUDA_ERROR_NO_DEVICE"; return 0; }

int cuGetProcAddress_v2(const char *symbol, void **address, int version, unsigned long long flags, int *status) {
    void *own = dlsym(RTLD_DEFAULT, symbol);
    (void)version, (void)flags;
    *address = own ? own : (void *)no_device;
    if (status) *status = 0;
    return 0;
}

int cuGetProcAddress(const char *symbol, void **address, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(symbol, address, version, flags, NULL);
}
