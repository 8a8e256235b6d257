// Package remote is one host as the rest of the product sees it: run a program as some account, read a file, write a
// file. It knows shells and sudo, and no SSH library: lines go through a [Runner], whose errors pass untouched.
package remote
