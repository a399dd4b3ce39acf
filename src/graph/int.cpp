// Int: host integers. Constants fold; the rest becomes calls of midstream's own operators on integers, so that sizes
// that are only known at run time are ordinary values of the graph.
#include <algorithm>

#include "graph/builder.h"

namespace midstream {
namespace {

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) throw Error(ErrorKind::Mismatch, "", "a size is divided by zero.");
  int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

Int apply(const char* op, const Int& a, const Int& b) {
  Builder* builder = a.is_constant() ? b.builder() : a.builder();
  return builder->call_int(op, {{"a", a}, {"b", b}});
}

bool both_constant(const Int& a, const Int& b) { return a.is_constant() && b.is_constant(); }
bool is(const Int& a, int64_t number) { return a.is_constant() && a.constant() == number; }
bool same(const Int& a, const Int& b) { return !a.is_constant() && !b.is_constant() && a.value() == b.value(); }

}  // namespace

Arg::Arg(const Int& v) : ArgVariant(std::visit([](auto x) { return ArgVariant(x); }, v.arg())) {}

Arg::Arg(const std::vector<Int>& v) {
  std::vector<IntArg> items;
  for (const Int& i : v) items.push_back(i.arg());
  static_cast<ArgVariant&>(*this) = std::move(items);
}

int64_t Int::constant() const {
  if (!is_constant())
    throw Error(ErrorKind::Internal, "", "a size that is only known at run time was asked for as a number.");
  return constant_;
}

Int operator+(const Int& a, const Int& b) {
  if (both_constant(a, b)) return a.constant() + b.constant();
  if (is(a, 0)) return b;
  if (is(b, 0)) return a;
  return apply("midstream::int_add", a, b);
}

Int operator-(const Int& a, const Int& b) {
  if (both_constant(a, b)) return a.constant() - b.constant();
  if (is(b, 0)) return a;
  if (same(a, b)) return 0;
  return apply("midstream::int_sub", a, b);
}

Int operator*(const Int& a, const Int& b) {
  if (both_constant(a, b)) return a.constant() * b.constant();
  if (is(a, 0) || is(b, 0)) return 0;
  if (is(a, 1)) return b;
  if (is(b, 1)) return a;
  return apply("midstream::int_mul", a, b);
}

Int floor_div(const Int& a, const Int& b) {
  if (both_constant(a, b)) return floor_divide(a.constant(), b.constant());
  if (is(b, 1)) return a;
  return apply("midstream::int_floordiv", a, b);
}

Int mod(const Int& a, const Int& b) {
  if (both_constant(a, b)) return a.constant() - floor_divide(a.constant(), b.constant()) * b.constant();
  if (is(b, 1)) return 0;
  return apply("midstream::int_mod", a, b);
}

Int ceil_div(const Int& a, const Int& b) {
  if (is(b, 1)) return a;
  return floor_div(a + b - 1, b);
}

Int max(const Int& a, const Int& b) {
  if (both_constant(a, b)) return std::max(a.constant(), b.constant());
  return same(a, b) ? a : apply("midstream::int_max", a, b);
}

Int min(const Int& a, const Int& b) {
  if (both_constant(a, b)) return std::min(a.constant(), b.constant());
  return same(a, b) ? a : apply("midstream::int_min", a, b);
}

}  // namespace midstream
