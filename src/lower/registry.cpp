// The registry, filled once.
#include "lower/registry.h"

#include "lower/register_all.h"

namespace midstream {

const Registry& registry() { return editable_registry(); }

Registry& editable_registry() {
  static Registry& all = *new Registry([] {
    Registry r;
    register_all(r);
    return r;
  }());  // never destroyed: what Python registered must not outlive Python
  return all;
}

}  // namespace midstream
