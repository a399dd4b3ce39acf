#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "formats/hdf5.h"
#include "formats/hdf5_internal.h"

namespace midstream {
namespace {

// Processor time for one object: deflated data come at a hundred megabytes a second at least.
constexpr rlim_t kSeconds = 10, kBytesPerSecond = 16 << 20;

void allow(rlim_t more) {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const rlimit time{static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + kSeconds + more, RLIM_INFINITY};
  ::setrlimit(RLIMIT_CPU, &time);
}

void read_object(const H5File& file, const std::string& path) {
  allow(0);
  for (const std::string& name : file.attribute_names(path)) {
    try {
      file.attribute(path, name);
    } catch (const Error&) {  // whoever wants it will hear of it
    }
  }
}

void read_all(const H5File& file, const std::string& group, int depth) {
  read_object(file, group);
  file.children_as_created(group);
  for (const std::string& name : file.children(group)) {
    const std::string path = (group == "/" ? "" : group) + "/" + name;
    try {
      if (file.is_group(path)) {
        if (depth < 200) read_all(file, path, depth + 1);
      } else if (file.is_dataset(path)) {
        read_object(file, path);
        const H5DatasetInfo info = file.info(path);
        if (info.dtype && *info.dtype != DType::String)
          allow(static_cast<rlim_t>(num_elements(info.shape)) / (kBytesPerSecond / 8));  // elements of 8 bytes at most
        if (!file.location(path)) file.read(path);
      }
    } catch (const Error&) {
    }
  }
}

[[noreturn]] void child(const H5File& file) {
  h5::Lock::renew();
  // What an embedding program does about these signals is not for here.
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL, SIGXCPU}) ::signal(signal, SIG_DFL);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  allow(0);
  try {
    read_all(file, "/", 0);
  } catch (...) {  // said by the parent, which comes to the same place
  }
  ::_exit(0);
}

}  // namespace

void H5File::probe() const {
  pid_t process = -1;
  {
    h5::Lock lock;  // no other thread is inside libhdf5 when its state is copied
    process = ::fork();
    if (process == 0) child(*this);
  }
  if (process < 0)
    throw Error(ErrorKind::Usage, name(),
                std::string("cannot be checked: no process can be started for it: ") + std::strerror(errno) + ".",
                "End some processes, or raise the limit on them (ulimit -u).");
  int status = 0;
  while (::waitpid(process, &status, 0) < 0)
    if (errno != EINTR) return;
  if (!WIFSIGNALED(status)) return;
  const int signal = WTERMSIG(status);
  throw Error(ErrorKind::BadFile, name(),
              signal == SIGXCPU || signal == SIGKILL ? "is damaged: libhdf5 does not come to an end with it."
                                                     : "is damaged: libhdf5 crashes when it reads it.",
              "Take an older copy of the file.");
}

}  // namespace midstream
