// The registry, filled once.
#include "lower/registry.h"

#include "lower/register_all.h"

namespace midstream {

const Registry& registry() {
  static const Registry all = [] {
    Registry r;
    register_all(r);
    return r;
  }();
  return all;
}

}  // namespace midstream
