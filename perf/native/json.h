// JSON as the harness writes it: a value read from a file of bounded size, and text written as a string.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace native {

class Json {
 public:
  // The value that a file holds; throws BadRequest with the file's name.
  static Json read(const std::string& path);
  static Json parse(std::string_view text, const std::string& path);

  // A member of an object; throws BadRequest where it is not there, or is of another kind.
  const Json& operator[](const std::string& key) const;
  // The same, or null where it is not there.
  const Json* find(const std::string& key) const;
  const std::string& text() const;
  double number() const;
  int64_t integer() const;
  bool truth() const;
  bool is_null() const { return kind_ == Kind::Null; }
  const std::vector<Json>& items() const;
  const std::map<std::string, Json>& members() const;

 private:
  friend class JsonReader;
  enum class Kind { Null, Bool, Number, String, List, Object };
  [[noreturn]] void refuse(const char* wanted) const;
  Kind kind_ = Kind::Null;
  std::string text_, path_;  // a number is kept as it was written; `path_` is where the value lies
  bool truth_ = false;
  std::vector<Json> items_;
  std::map<std::string, Json> members_;
};

std::string quoted(std::string_view text);  // as a JSON string; bytes that are no UTF-8 become '?'
std::string read_file(const std::string& path, size_t limit);

}  // namespace native
