terraform {
  required_providers {
    rabbitmq = {
      source = "rabbitmq-topology/rabbitmq"
    }
  }
}

provider "rabbitmq" {
  ssh = {
    user             = "deploy"
    private_key_file = "~/.ssh/id_ed25519"
    bastions         = [{ host = "bastion.example.com" }]
    become           = true
  }
}
