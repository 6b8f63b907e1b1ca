// The tables: users, and the proofs that have been used.
import { DataTypes, Sequelize, UniqueConstraintError } from "sequelize";

// DATABASE is mysql://user:password@host/name (DATABASE_SOCKET for a Unix socket), or the path of an SQLite file.
async function connect({ DATABASE: database = "app.sqlite", DATABASE_SOCKET: socketPath }) {
  if (database.includes("://")) return new Sequelize(database, { logging: false, dialectOptions: socketPath ? { socketPath } : {} });
  const { default: dialectModule } = await import("@appthreat/sqlite3"); // brings its binary along; npm sqlite3 would download one
  return new Sequelize({ dialect: "sqlite", dialectModule, storage: database, logging: false });
}
export const db = await connect(process.env);

export const User = db.define("user", {
  id: { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV4, primaryKey: true },
  email: { type: DataTypes.STRING, allowNull: false, unique: true },
  name: { type: DataTypes.STRING, allowNull: false, defaultValue: "" },
  password: DataTypes.STRING, // bcrypt; none until the first link was used
  active: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
  // Raised with each new password. Sessions and links of before do not match it any more.
  version: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 },
});

const Proof = db.define("proof", { jti: { type: DataTypes.STRING(64), primaryKey: true } });

// once does what a proof is good for: in one transaction with a note of its jti, so that it happens once, whoever asks how often. It
// returns "done", "before" when it had been done, and "outdated" when the user has changed since the link was asked for.
export async function once({ jti, sub, state }, act) {
  try {
    return await db.transaction(async (transaction) => {
      await Proof.create({ jti }, { transaction });
      const user = await User.findByPk(sub, { transaction, lock: transaction.LOCK.UPDATE });
      if (!user || String(user.version) !== state) return "outdated";
      await act(user);
      await user.save({ transaction });
      return "done";
    });
  } catch (e) {
    if (e instanceof UniqueConstraintError) return "before";
    throw e;
  }
}
