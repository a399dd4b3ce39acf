// The one alphabetical list of all families of lowerings. To add one: its declaration, its call, and its file's line in
// CMakeLists.txt. Registration is explicit because a static library drops static objects silently.
#include "lower/register_all.h"

#include "lower/registry.h"

namespace midstream {

namespace keras {
void register_constraints(Registry&);
void register_losses(Registry&);
void register_optimizers_adam(Registry&);
void register_optimizers_adaptive(Registry&);
void register_optimizers_sgd(Registry&);
void register_regularizers(Registry&);
void register_schedules(Registry&);
}  // namespace keras

namespace tensorflow {
// lower/tensorflow
}  // namespace tensorflow

void register_all(Registry& r) {
  keras::register_constraints(r);
  keras::register_losses(r);
  keras::register_optimizers_adam(r);
  keras::register_optimizers_adaptive(r);
  keras::register_optimizers_sgd(r);
  keras::register_regularizers(r);
  keras::register_schedules(r);
}

}  // namespace midstream
