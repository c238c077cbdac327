#include "src/frontend/bridge/argument_checks.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

namespace moai::bridge {
namespace {

using Arguments = std::span<const c10::IValue>;

void check_bernoulli(Arguments a) {
  const double p = a[1].toDouble();
  TORCH_CHECK(p >= 0 && p <= 1, "bernoulli_ expects p to be in [0, 1], but got p=", p);
}

void check_uniform(Arguments a) {
  const double from = a[1].toDouble(), to = a[2].toDouble();
  TORCH_CHECK(from <= to, "uniform_ expects to return a [from, to) range, but found from=", from,
              " > to=", to);
}

void check_random(Arguments a) {
  if (a[2].isNone()) return;
  const int64_t from = a[1].toInt(), to = a[2].toInt();
  TORCH_CHECK(from < to, "random_ expects 'from' to be less than 'to', but got from=", from,
              " >= to=", to);
}

void check_random_to(Arguments a) {
  const int64_t to = a[1].toInt();
  TORCH_CHECK(0 < to, "random_ expects 'from' to be less than 'to', but got from=0 >= to=", to);
}

void check_multinomial(Arguments a) {
  const at::Tensor& p = a[0].toTensor();
  const int64_t samples = a[1].toInt();
  TORCH_CHECK(p.dim() == 1 || p.dim() == 2, "prob_dist must be 1 or 2 dim");
  TORCH_CHECK(samples > 0, "cannot sample n_sample <= 0 samples");
  TORCH_CHECK(a[2].toBool() || samples <= p.size(-1),
              "cannot sample n_sample > prob_dist.size(-1) samples without replacement");
}

constexpr std::pair<std::string_view, ArgumentCheck> kChecks[] = {
    {"aten::bernoulli_.float", check_bernoulli}, {"aten::uniform_", check_uniform},
    {"aten::random_.from", check_random},        {"aten::random_.to", check_random_to},
    {"aten::multinomial", check_multinomial},
};

}  // namespace

ArgumentCheck argument_check_of(std::string_view name) {
  auto at = std::find_if(std::begin(kChecks), std::end(kChecks),
                         [&](const auto& row) { return row.first == name; });
  return at == std::end(kChecks) ? nullptr : at->second;
}

}  // namespace moai::bridge
