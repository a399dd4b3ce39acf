// The one alphabetical list of all families of lowerings. To add one: its declaration, its call, and its file's line in
// CMakeLists.txt. Registration is explicit because a static library drops static objects silently.
#include "lower/register_all.h"

#include "lower/registry.h"

namespace midstream {

namespace keras {
// lower/keras: one declaration a line, `void register_activations(Registry&);`
}  // namespace keras

namespace tensorflow {
// lower/tensorflow
}  // namespace tensorflow

void register_all([[maybe_unused]] Registry& r) {
  // keras::register_activations(r);
}

}  // namespace midstream
