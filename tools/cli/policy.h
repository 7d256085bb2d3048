// A routing policy as a JSON file: the fields of onepass_policy under their own names, lists as arrays of strings.
#pragma once

#include <onepass/onepass.hpp>
#include <string>

namespace onepass::cli {

class PolicyFile {
 public:
  // Fails where the file is not a policy, or names a label that the model does not have.
  PolicyFile(const std::string& path, const Model& model);
  PolicyFile(const PolicyFile&) = delete;
  PolicyFile& operator=(const PolicyFile&) = delete;

  const onepass_policy& get() const { return policy_; }
  bool abstains() const { return policy_.abstain_below > 0; }

 private:
  onepass_policy policy_ = ONEPASS_INIT(onepass_policy);
  std::string high_stakes_labels_, negations_, sarcasm_markers_;  // what the policy's lists point to
};

// For people: where a text goes and why; nothing where it stays.
void print_route(const Verdict& verdict);

}  // namespace onepass::cli
