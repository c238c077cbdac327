// The file of a unix socket that this process listens on: gone with its owner, unless another has
// taken its place.
#pragma once
#include <sys/types.h>

#include <string>

namespace moai::engine {

class SocketFile {
 public:
  // Right after the socket was bound to the path.
  explicit SocketFile(std::string path);
  ~SocketFile();
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&&) = delete;

 private:
  std::string path_;  // empty: nothing to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace moai::engine
