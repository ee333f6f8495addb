// A second torch device for tests. Its tensors live in host memory and operators compute on the CPU, but a tensor of the
// CPU among the operands is an error, as on a GPU. Memory is counted, limited and filled with garbage; copies between
// the devices and calls of operators are counted.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/InferSize.h>
#include <ATen/TensorUtils.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

namespace {

constexpr auto TYPE = c10::DeviceType::PrivateUse1;
const c10::Device DEVICE(TYPE, 0);

struct Counters {
  std::atomic<int64_t> uploads{0}, downloads{0}, launches{0}, bytes{0}, peak{0}, limit{0};
} counters;

// ---------------------------------------------------------------- memory

struct Block {
  void* start;
  int64_t size;
};

void release(void* context) {
  auto* block = static_cast<Block*>(context);
  counters.bytes -= block->size;
  std::free(block->start);
  delete block;
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    const auto held = counters.bytes.load() + static_cast<int64_t>(size);
    const auto limit = counters.limit.load();
    TORCH_CHECK_WITH(OutOfMemoryError, !limit || held <= limit, "strict:0 is out of memory: ", held, " of ", limit, " bytes");
    void* start = size ? std::malloc(size) : nullptr;
    if (start) std::memset(start, 0xA5, size);  // zeros would hide that memory is read before it is written
    counters.bytes += static_cast<int64_t>(size);
    counters.peak = std::max(counters.peak.load(), held);
    return {start, new Block{start, static_cast<int64_t>(size)}, &release, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }
};

Allocator allocator;
REGISTER_ALLOCATOR(TYPE, &allocator);

// ---------------------------------------------------------------- one device with one stream, which never waits

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::Stream stream() const { return c10::Stream(c10::Stream::DEFAULT, DEVICE); }
  c10::DeviceType type() const override { return TYPE; }
  c10::Device exchangeDevice(c10::Device) const override { return DEVICE; }
  c10::Device getDevice() const override { return DEVICE; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override { *event = nullptr; }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  at::Device getDeviceFromPtr(void*) const override { return DEVICE; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const at::Generator generator = at::detail::createCPUGenerator();
    return generator;
  }
};
const bool hooks_registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

// ---------------------------------------------------------------- tensors

bool is_here(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == TYPE; }

// The same memory as a tensor of the CPU.
at::Tensor on_host(const at::Tensor& tensor) {
  if (!is_here(tensor)) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU).requires_grad(false));
}

// A result that was computed on the CPU, in memory of this device; no copy that a GPU would make.
at::Tensor result_here(const at::Tensor& tensor) {
  if (!tensor.defined() || is_here(tensor)) return tensor;
  const auto source = tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous();
  auto made = at::empty_strided(source.sizes(), source.strides(), source.options().device(DEVICE));
  on_host(made).copy_(source);
  return made;
}

void require_here(const at::Tensor& tensor, const std::string& name) {
  // scalars of the CPU are passed to kernels by value
  TORCH_CHECK(!tensor.defined() || is_here(tensor) || tensor.dim() == 0,
              "Expected all tensors to be on the same device, but found at least two devices, strict:0 and cpu! (", name, ")");
}

at::Tensor allocate(c10::SymIntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type), format);
}

at::Tensor allocate_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(type));
}

at::Tensor strided_view(const at::Tensor& self, at::IntArrayRef size, at::IntArrayRef stride, std::optional<int64_t> offset) {
  auto view = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(self.storage()), self.key_set(), self.dtype());
  view.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride, offset.value_or(self.storage_offset()));
  return view;
}

at::Tensor reshape_alias(const at::Tensor& self, at::IntArrayRef size, at::IntArrayRef stride) {
  return strided_view(self, size, stride, std::nullopt);
}

at::Tensor view(const at::Tensor& self, at::IntArrayRef size) {
  const auto sizes = at::infer_size_dv(size, self.numel());
  const auto strides = at::detail::computeStride(self.sizes(), self.strides(), sizes);
  TORCH_CHECK(strides.has_value(), "a view of this size would need a copy; use reshape");
  return strided_view(self, sizes, *strides, std::nullopt);
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  auto* tensor = self.unsafeGetTensorImpl();
  tensor->set_sizes_contiguous(size);
  if (format) tensor->empty_tensor_restride(*format);
  auto* storage = self.storage().unsafeGetStorageImpl();
  const auto needed = (self.storage_offset() + self.numel()) * self.element_size();
  if (needed > storage->nbytes()) {
    auto larger = allocator.allocate(needed);
    if (storage->nbytes()) std::memcpy(larger.get(), storage->data(), storage->nbytes());
    storage->set_data_ptr_noswap(std::move(larger));
    storage->set_nbytes(needed);
  }
  return self;
}

at::Tensor& set_storage_view(at::Tensor& self, at::Storage storage, int64_t offset, at::IntArrayRef size, at::IntArrayRef stride) {
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(storage);
  self.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride, offset);
  return self;
}

at::Tensor& set_storage(at::Tensor& self, at::Storage storage) {
  const auto count = static_cast<int64_t>(storage.nbytes() / self.element_size());
  return set_storage_view(self, std::move(storage), 0, {count}, {1});
}

// ---------------------------------------------------------------- copies between the devices

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool) {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  if (is_here(to) && !is_here(self)) counters.uploads++;
  if (is_here(self) && !is_here(to)) counters.downloads++;
  on_host(to).copy_(on_host(self));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
  if (to.sizes() != self.sizes()) to.resize_(self.sizes());
  return copy_from(self, to, false);
}

at::Scalar item(const at::Tensor& self) {
  counters.downloads++;
  return on_host(self).item();
}

// ---------------------------------------------------------------- operators

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups) {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  counters.launches++;
  const auto offsets = bias.value_or(at::Tensor());
  for (const auto& operand : {input, weight, offsets}) require_here(operand, "convolution");
  return result_here(at::convolution(on_host(input), on_host(weight), on_host(offsets), stride, padding, dilation, transposed,
                                     output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight, at::IntArrayRef stride, at::IntArrayRef padding,
    at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> mask) {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  counters.launches++;
  for (const auto& operand : {gradient, input, weight}) require_here(operand, "convolution_backward");
  const std::vector<int64_t> bias_size{transposed ? weight.size(1) * groups : weight.size(0)};
  const auto found = at::convolution_backward(on_host(gradient), on_host(input), on_host(weight), at::OptionalIntArrayRef(bias_size),
                                              stride, padding, dilation, transposed, output_padding, groups, mask);
  return {result_here(std::get<0>(found)), result_here(std::get<1>(found)), result_here(std::get<2>(found))};
}

// GPUs accept operands of the CPU here.
const std::unordered_set<std::string> TAKES_HOST_OPERANDS{"aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::copy_"};

// Every other operator: its CPU kernel, on the same memory.
void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  counters.launches++;
  const auto& schema = op.schema();
  const auto count = schema.arguments().size();
  const auto first = stack->size() - count;
  const bool strict = !TAKES_HOST_OPERANDS.count(schema.name());
  const auto operand = [&](const at::Tensor& tensor) {
    if (strict) require_here(tensor, schema.name());
    return on_host(tensor);
  };
  const std::vector<c10::IValue> given(stack->begin() + first, stack->end());
  for (size_t number = 0; number < count; ++number) {
    auto& value = (*stack)[first + number];
    const auto* alias = schema.arguments()[number].alias_info();
    if (value.isTensor() && alias && alias->isWrite() && is_here(value.toTensor()) && value.toTensor().numel() == 0) {
      value = at::empty({0}, value.toTensor().options().device(at::kCPU));  // an output that the kernel sizes
    } else if (value.isTensor()) {
      value = operand(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorList()) list.push_back(operand(tensor));
      value = std::move(list);
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorList()) {
        list.push_back(tensor ? std::optional<at::Tensor>(operand(*tensor)) : std::nullopt);
      }
      value = std::move(list);
    } else if (value.isDevice()) {
      value = c10::Device(at::kCPU);
    }
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  const auto returns = schema.returns().size();
  for (size_t number = 0; number < returns; ++number) {
    auto& value = (*stack)[stack->size() - returns + number];
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorList()) list.push_back(result_here(tensor));
      value = std::move(list);
      continue;
    }
    if (!value.isTensor()) continue;
    const auto* alias = schema.returns()[number].alias_info();
    bool written = false;
    for (size_t argument = 0; alias && argument < count; ++argument) {  // in place, or out=
      const auto* other = schema.arguments()[argument].alias_info();
      if (other && other->isWrite() && *other == *alias && given[argument].isTensor()) {
        const auto target = given[argument].toTensor();
        if (target.sizes() != value.toTensor().sizes()) {
          resize_(target, value.toTensor().sizes(), std::nullopt);
          on_host(target).copy_(value.toTensor());
        }
        value = target;
        written = true;
        break;
      }
    }
    if (!written) value = result_here(value.toTensor());
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &allocate);
  m.impl("empty_strided", &allocate_strided);
  m.impl("as_strided", &strided_view);
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("view", &view);
  m.impl("resize_", &resize_);
  m.impl("set_.source_Storage", &set_storage);
  m.impl("set_.source_Storage_storage_offset", &set_storage_view);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &item);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
}

// an autocast computes the same operators as on a GPU in its own type, in float32 or in the widest of the operands' types
#define LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define FULL(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define WIDEST(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  AT_FORALL_LOWER_PRECISION_FP(LOWER)
  AT_FORALL_FP32(FULL)
  AT_FORALL_PROMOTE(WIDEST)
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>()); }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("counts", [] {
    return std::make_tuple(counters.uploads.load(), counters.downloads.load(), counters.launches.load(), counters.bytes.load(),
                           counters.peak.load());
  });
  m.def("reset", [] {
    counters.uploads = counters.downloads = counters.launches = 0;
    counters.peak = counters.bytes.load();
  });
  m.def("set_limit", [](int64_t bytes) { counters.limit = bytes; });
}
