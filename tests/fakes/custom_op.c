/* A custom-op library of one op, acme.ops::Shift: y = x + SHIFT, over tensors of 2 x 8 floats.
   ONNX Runtime's headers are in no wheel. What is used here is fixed for ever by its ABI: the API table only grows
   at its end, and an op of version 17 ends with GetEndVersion. */
#include <stddef.h>
#include <stdint.h>

#ifndef SHIFT
#define SHIFT 1.0f
#endif

typedef struct { const void *const *(*get_api)(uint32_t version); const char *(*get_version)(void); } ApiBase;
enum { CREATE_DOMAIN = 26, DOMAIN_ADD = 27, ADD_DOMAIN = 28, TENSOR_DATA = 51, GET_INPUT = 90, GET_OUTPUT = 91 };
enum { FLOAT = 1, ROWS = 2, COLUMNS = 8 };

typedef struct {
    uint32_t version;
    void *(*create)(const void *op, const void *const *api, const void *info);
    const char *(*name)(const void *op);
    const char *(*provider)(const void *op);
    int (*input_type)(const void *op, size_t index);
    size_t (*inputs)(const void *op);
    int (*output_type)(const void *op, size_t index);
    size_t (*outputs)(const void *op);
    void (*compute)(void *kernel, void *context);
    void (*destroy)(void *kernel);
    int (*input_characteristic)(const void *op, size_t index);
    int (*output_characteristic)(const void *op, size_t index);
    int (*input_memory)(const void *op, size_t index);
    int (*variadic[4])(const void *op);
    void *later[3]; /* CreateKernelV2, KernelComputeV2, InferOutputShapeFn: this op has none */
    int (*start_version)(const void *op);
    int (*end_version)(const void *op);
} CustomOp;

static void *create(const void *op, const void *const *api, const void *info) { return (void *)api; }
static const char *name(const void *op) { return "Shift"; }
static const char *provider(const void *op) { return NULL; }
static int type(const void *op, size_t index) { return FLOAT; }
static size_t one(const void *op) { return 1; }
static void destroy(void *kernel) {}
static int required(const void *op, size_t index) { return 0; }
static int first(const void *op) { return 1; }
static int last(const void *op) { return 99; }

static void compute(void *kernel, void *context)
{
    const void *const *api = kernel;
    void *(*get_input)(void *, size_t, void **) = api[GET_INPUT];
    void *(*get_output)(void *, size_t, const int64_t *, size_t, void **) = api[GET_OUTPUT];
    void *(*data)(void *, void **) = api[TENSOR_DATA];
    const int64_t shape[] = {ROWS, COLUMNS};
    void *input, *output, *x, *y;
    if (get_input(context, 0, &input) || get_output(context, 0, shape, 2, &output) || data(input, &x) || data(output, &y))
        return;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        ((float *)y)[i] = ((float *)x)[i] + SHIFT;
}

static const CustomOp op = {17, create, name, provider, type, one, type, one, compute, destroy, required, required, required,
                            {first, first, first, first}, {NULL, NULL, NULL}, first, last};

void *RegisterCustomOps(void *options, const ApiBase *base)
{
    const void *const *api = base->get_api(17);
    void *(*create_domain)(const char *, void **) = api[CREATE_DOMAIN];
    void *(*domain_add)(void *, const void *) = api[DOMAIN_ADD];
    void *(*add_domain)(void *, void *) = api[ADD_DOMAIN];
    void *domain, *failed;
    if ((failed = create_domain("acme.ops", &domain)) || (failed = domain_add(domain, &op)))
        return failed;
    return add_domain(options, domain);
}
